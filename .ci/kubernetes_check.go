// Holds the cases of gateway/tests/it/fixtures/kubernetes against the code of a real API server: what its
// storage does with an object before it writes it. Decoding is strict, defaults are filled in, and no two
// items of a list may have the same keys, as in a server-side apply.
//
// Prints a line for each case, and ends with 1 if any does not end as the file says. Built by .ci/kubernetes.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
	"k8s.io/kubernetes/pkg/capabilities"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/limitrange"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/resourcequota"
	"k8s.io/kubernetes/pkg/registry/core/secret"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/networking/ingress"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrole"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding"
	"k8s.io/kubernetes/pkg/registry/rbac/role"
	"k8s.io/kubernetes/pkg/registry/rbac/rolebinding"
	"k8s.io/kubernetes/pkg/registry/storage/storageclass"
	"sigs.k8s.io/yaml"
)

// What the storage of a kind does before it writes.
type strategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

var strategies = map[string]strategy{
	"Deployment":              deployment.Strategy,
	"StatefulSet":             statefulset.Strategy,
	"DaemonSet":               daemonset.Strategy,
	"ReplicaSet":              replicaset.Strategy,
	"Job":                     job.Strategy,
	"CronJob":                 cronjob.Strategy,
	"Pod":                     pod.Strategy,
	"Service":                 service.Strategy,
	"ServiceAccount":          serviceaccount.Strategy,
	"ConfigMap":               configmap.Strategy,
	"Secret":                  secret.Strategy,
	"Namespace":               namespace.Strategy,
	"PersistentVolumeClaim":   persistentvolumeclaim.Strategy,
	"LimitRange":              limitrange.Strategy,
	"ResourceQuota":           resourcequota.Strategy,
	"NetworkPolicy":           networkpolicy.Strategy,
	"Ingress":                 ingress.Strategy,
	"PodDisruptionBudget":     poddisruptionbudget.Strategy,
	"HorizontalPodAutoscaler": horizontalpodautoscaler.Strategy,
	"Role":                    role.Strategy,
	"RoleBinding":             rolebinding.Strategy,
	"ClusterRole":             clusterrole.Strategy,
	"ClusterRoleBinding":      clusterrolebinding.Strategy,
	"StorageClass":            storageclass.Strategy,
}

var converter = applyconfigurations.NewTypeConverter(scheme.Scheme)

// A base object with values at JSON pointers; with `before`, a change of such an object.
type testCase struct {
	Base   string
	Before map[string]any
	Set    map[string]any
	Says   string
	Name   string
	// Of versions.yaml: what older versions say. The one that is built in takes all of them.
	Since int
	Value bool
	Older string
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: kubernetes-check bases.yaml cases.yaml...")
		os.Exit(2)
	}
	capabilities.Initialize(capabilities.Capabilities{AllowPrivileged: true})
	bases := map[string]any{}
	read(os.Args[1], &bases)
	wrong, count := 0, map[string]int{}
	for _, path := range os.Args[2:] {
		cases := []testCase{}
		read(path, &cases)
		for _, one := range cases {
			err := one.check(bases)
			verdict := "accepted"
			if err != nil {
				verdict = "refused"
			}
			count[verdict]++
			label := "ok"
			if (err != nil) != (one.Says != "") {
				wrong++
				label = "WRONG"
			}
			said := ""
			if err != nil {
				said = strings.ReplaceAll(err.Error(), "\n", " ")
			}
			set, _ := json.Marshal(one.Set)
			fmt.Printf("%s\t%s\t%s\t%s %s\t%s\t%s\n", label, verdict, filepath.Base(path), one.Base, set, one.Says+one.Name, said)
		}
	}
	fmt.Printf("%d refused, %d accepted, %d not as expected\n", count["refused"], count["accepted"], wrong)
	if wrong > 0 {
		os.Exit(1)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(2)
}

func read(path string, into any) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.UnmarshalStrict(text, into)
	}
	if err != nil {
		fail("%s: %v", path, err)
	}
}

func (one testCase) check(bases map[string]any) error {
	base, ok := bases[one.Base]
	if !ok {
		fail("there is no base %q", one.Base)
	}
	before := with(copied(base), one.Before)
	after := with(copied(before), one.Set)
	object, kind, err := decode(after)
	if err != nil {
		return err
	}
	strategy, ok := strategies[kind.Kind]
	if !ok {
		fail("there is no strategy for %s", kind.Kind)
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	ctx := genericapirequest.WithNamespace(context.Background(), accessor.GetNamespace())
	ctx = genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{
		APIGroup: kind.Group, APIVersion: kind.Version, IsResourceRequest: true,
	})
	if err := applied(after); err != nil {
		return err
	}
	if one.Before == nil {
		rest.FillObjectMetaSystemFields(accessor)
		return rest.BeforeCreate(strategy, ctx, object)
	}
	old, _, err := decode(before)
	if err != nil {
		fail("the object before cannot be read: %v", err)
	}
	oldAccessor, err := meta.Accessor(old)
	if err != nil {
		return err
	}
	rest.FillObjectMetaSystemFields(oldAccessor)
	if err := rest.BeforeCreate(strategy, ctx, old); err != nil {
		fail("the object before is refused: %v", err)
	}
	oldAccessor.SetResourceVersion("1")
	accessor.SetUID(oldAccessor.GetUID())
	accessor.SetCreationTimestamp(metav1.Time{Time: oldAccessor.GetCreationTimestamp().Time.Truncate(time.Nanosecond)})
	accessor.SetResourceVersion("1")
	accessor.SetGeneration(oldAccessor.GetGeneration())
	if job, ok := object.(*batch.Job); ok {
		keepGenerated(job, old.(*batch.Job))
	}
	return rest.BeforeUpdate(strategy, ctx, object, old)
}

// Who applies a Job does not own what the API server has filled in for it.
func keepGenerated(job, old *batch.Job) {
	job.Spec.Selector = old.Spec.Selector
	if job.Spec.Completions == nil {
		job.Spec.Completions = old.Spec.Completions
	}
	if job.Spec.Template.Labels == nil {
		job.Spec.Template.Labels = map[string]string{}
	}
	for label, value := range old.Spec.Template.Labels {
		if _, ok := job.Spec.Template.Labels[label]; !ok {
			job.Spec.Template.Labels[label] = value
		}
	}
}

func decode(object any) (runtime.Object, schema.GroupVersionKind, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, schema.GroupVersionKind{}, err
	}
	codecs := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	decoded, kind, err := codecs.UniversalDecoder().Decode(text, nil, nil)
	if err != nil {
		if kind == nil {
			kind = &schema.GroupVersionKind{}
		}
		return nil, *kind, apierrors.NewBadRequest(err.Error())
	}
	if service, ok := decoded.(*core.Service); ok && service.Spec.ClusterIP != "" && service.Spec.ClusterIPs == nil {
		// The storage of Services does so before it asks for their validation.
		service.Spec.ClusterIPs = []string{service.Spec.ClusterIP}
	}
	return decoded, *kind, nil
}

// What server-side apply does first: no two items of a list may have the same keys.
func applied(object any) error {
	fields, ok := object.(map[string]any)
	if !ok {
		return fmt.Errorf("no object")
	}
	_, err := converter.ObjectToTyped(&unstructured.Unstructured{Object: fields})
	return err
}

func copied(value any) any {
	text, _ := json.Marshal(value)
	var copy any
	_ = json.Unmarshal(text, &copy)
	return copy
}

// Sets values at JSON pointers and makes what is missing above them; null removes.
func with(object any, set map[string]any) any {
	for pointer, value := range set {
		steps := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
		for index := range steps {
			steps[index] = strings.ReplaceAll(strings.ReplaceAll(steps[index], "~1", "/"), "~0", "~")
		}
		object = put(object, steps, value)
	}
	return object
}

func put(at any, steps []string, value any) any {
	if len(steps) == 0 {
		return value
	}
	if list, ok := at.([]any); ok {
		index, err := strconv.Atoi(steps[0])
		if err != nil {
			fail("%q is no place in a list", steps[0])
		}
		if index == len(list) {
			return append(list, put(nil, steps[1:], value))
		}
		list[index] = put(list[index], steps[1:], value)
		return list
	}
	object, ok := at.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	if len(steps) == 1 && value == nil {
		delete(object, steps[0])
	} else {
		object[steps[0]] = put(object[steps[0]], steps[1:], value)
	}
	return object
}
