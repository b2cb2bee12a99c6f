// Prints gateway/src/validate/schema/since.rs: which version of Kubernetes brought which field, and which value
// of a field, as far as the kinds that the gateway knows reach.
//
// Fields are told by the schema for server-side apply in k8s.io/client-go, values by the typed constants in
// k8s.io/api. Usage: kubernetes-since MODULES 0.30.0 0.31.0 ..., where MODULES is the folder k8s.io of a module
// cache, and the versions are those of the two modules without a gap, oldest first. What a table of "came with"
// could not tell right ends it with 1. Built by .ci/kubernetes.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// The kinds of gateway/src/validate/schema.rs.
var kinds = []string{
	"apps.v1.DaemonSet", "apps.v1.Deployment", "apps.v1.ReplicaSet", "apps.v1.StatefulSet",
	"autoscaling.v2.HorizontalPodAutoscaler", "batch.v1.CronJob", "batch.v1.Job", "core.v1.ConfigMap",
	"core.v1.LimitRange", "core.v1.Namespace", "core.v1.PersistentVolumeClaim", "core.v1.Pod",
	"core.v1.ResourceQuota", "core.v1.Secret", "core.v1.Service", "core.v1.ServiceAccount",
	"networking.v1.Ingress", "networking.v1.NetworkPolicy", "policy.v1.PodDisruptionBudget",
	"rbac.v1.ClusterRole", "rbac.v1.ClusterRoleBinding", "rbac.v1.Role", "rbac.v1.RoleBinding",
	"storage.v1.StorageClass",
}

const prefix = "io.k8s.api."

// Types of texts that take nothing but their constants, although Kubernetes does not mark them with +enum.
var closed = []string{"core/v1.ContainerRestartPolicy", "core/v1.ContainerRestartRuleAction"}

// Fields that are plain texts, and how the names of their constants begin.
var untyped = map[[2]string]string{
	{"io.k8s.api.core.v1.ServiceSpec", "trafficDistribution"}: "ServiceTrafficDistribution",
}

// A version: what is reachable from the kinds in it.
type version struct {
	minor  int
	fields map[string]map[string][]string // definition, field: the definitions it refers to
	values map[[2]string][]string         // definition and field: what it takes, where that is a closed list
	open   map[string][]string            // Go type: constants of texts that are no closed list
}

func main() {
	if len(os.Args) < 4 {
		fail("usage: kubernetes-since MODULES VERSION VERSION...")
	}
	versions := []version{}
	for _, text := range os.Args[2:] {
		versions = append(versions, read(os.Args[1], text))
	}
	fields, wrong := came(versions)
	values, more := cameValues(versions, fields)
	if wrong = append(wrong, more...); len(wrong) > 0 {
		fail("%s", strings.Join(wrong, "\n"))
	}
	print(versions, fields, values)
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}

func read(modules, text string) version {
	minor, err := strconv.Atoi(strings.Split(text, ".")[1])
	if err != nil {
		fail("%s is no version", text)
	}
	all := definitions(filepath.Join(modules, "client-go@v"+text, "applyconfigurations/internal/internal.go"))
	one := version{minor, map[string]map[string][]string{}, map[[2]string][]string{}, map[string][]string{}}
	api := packages{root: filepath.Join(modules, "api@v"+text), read: map[string]*goPackage{}}
	waiting := []string{}
	for _, kind := range kinds {
		waiting = append(waiting, prefix+kind)
	}
	for len(waiting) > 0 {
		name := waiting[0]
		waiting = waiting[1:]
		if one.fields[name] != nil {
			continue
		}
		fields, ok := all[name]
		if !ok {
			fail("client-go %s has no %s", text, name)
		}
		one.fields[name] = fields
		for _, refers := range fields {
			waiting = append(waiting, refers...)
		}
		api.values(name, &one)
	}
	return one
}

// The definitions of client-go's schema, with the definitions that each of their fields refers to.
func definitions(path string) map[string]map[string][]string {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		fail("%v", err)
	}
	text := ""
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING && len(literal.Value) > len(text) {
			text = literal.Value
		}
		return true
	})
	schema := struct {
		Types []struct {
			Name string
			Map  struct {
				Fields []struct {
					Name string
					Type any
				}
			}
		}
	}{}
	if err := yaml.Unmarshal([]byte(strings.Trim(text, "`")), &schema); err != nil {
		fail("%s: %v", path, err)
	}
	all := map[string]map[string][]string{}
	for _, definition := range schema.Types {
		all[definition.Name] = map[string][]string{}
		for _, field := range definition.Map.Fields {
			all[definition.Name][field.Name] = named(field.Type)
		}
	}
	return all
}

func named(of any) []string {
	found := []string{}
	switch of := of.(type) {
	case map[string]any:
		for key, below := range of {
			if name, ok := below.(string); ok && key == "namedType" {
				found = append(found, name)
			} else {
				found = append(found, named(below)...)
			}
		}
	case []any:
		for _, below := range of {
			found = append(found, named(below)...)
		}
	}
	sort.Strings(found)
	return found
}

// The packages of one version of k8s.io/api that were asked for, by their paths in it.
type packages struct {
	root string
	read map[string]*goPackage
}

type goPackage struct {
	structs   map[string][]goField
	constants map[string][]string // by type
	untyped   map[string]string   // by name
	enums     map[string]bool
}

// A field: its key in JSON, or "" if its own fields stand in its place; its type's package and name.
type goField struct{ key, in, of string }

// Adds what the fields of a definition take.
func (p packages) values(definition string, into *version) {
	path, ok := strings.CutPrefix(definition, prefix)
	if !ok {
		return
	}
	parts := strings.Split(path, ".")
	for _, field := range p.flat(parts[0]+"/"+parts[1], parts[2]) {
		at := [2]string{definition, field.key}
		own := p.of(parts[0] + "/" + parts[1])
		for name, value := range own.untyped {
			if begin, ok := untyped[at]; ok && strings.HasPrefix(name, begin) {
				into.values[at] = append(into.values[at], value)
			}
		}
		typed := field.in + "." + field.of
		constants := p.of(field.in).constants[field.of]
		// What a plain text may be, and the type of a condition, is nobody's list.
		if len(constants) == 0 || field.of == "string" || strings.HasSuffix(field.of, "ConditionType") {
			continue
		}
		if p.of(field.in).enums[field.of] || slices.Contains(closed, typed) {
			into.values[at] = constants
		} else {
			into.open[typed] = constants
		}
	}
}

func (p packages) flat(in, name string) []goField {
	found := []goField{}
	for _, field := range p.of(in).structs[name] {
		if field.key != "" {
			found = append(found, field)
		} else if field.in != "" {
			found = append(found, p.flat(field.in, field.of)...)
		}
	}
	return found
}

func (p packages) of(path string) *goPackage {
	if known := p.read[path]; known != nil {
		return known
	}
	own := &goPackage{map[string][]goField{}, map[string][]string{}, map[string]string{}, map[string]bool{}}
	p.read[path] = own
	files, _ := filepath.Glob(filepath.Join(p.root, path, "*.go"))
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			fail("%v", err)
		}
		for _, declaration := range file.Decls {
			if general, ok := declaration.(*ast.GenDecl); ok {
				own.add(path, imports(file), general)
			}
		}
	}
	return own
}

// The packages of k8s.io/api that a file imports, by their names in it.
func imports(file *ast.File) map[string]string {
	found := map[string]string{}
	for _, one := range file.Imports {
		path, _ := strconv.Unquote(one.Path.Value)
		name := filepath.Base(path)
		if one.Name != nil {
			name = one.Name.Name
		}
		if below, ok := strings.CutPrefix(path, "k8s.io/api/"); ok {
			found[name] = below
		}
	}
	return found
}

func (own *goPackage) add(path string, imported map[string]string, general *ast.GenDecl) {
	for _, spec := range general.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if strings.Contains(general.Doc.Text()+spec.Doc.Text(), "+enum") {
				own.enums[spec.Name.Name] = true
			}
			if shape, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range shape.Fields.List {
					own.structs[spec.Name.Name] = append(own.structs[spec.Name.Name], fieldOf(path, imported, field))
				}
			}
		case *ast.ValueSpec:
			if general.Tok != token.CONST || len(spec.Values) != 1 {
				continue
			}
			literal, ok := spec.Values[0].(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				continue
			}
			value, _ := strconv.Unquote(literal.Value)
			if typed, ok := spec.Type.(*ast.Ident); ok {
				own.constants[typed.Name] = append(own.constants[typed.Name], value)
			} else if spec.Type == nil {
				own.untyped[spec.Names[0].Name] = value
			}
		}
	}
}

func fieldOf(path string, imported map[string]string, field *ast.Field) goField {
	tag := ""
	if field.Tag != nil {
		text, _ := strconv.Unquote(field.Tag.Value)
		tag = reflect.StructTag(text).Get("json")
	}
	found := goField{key: strings.Split(tag, ",")[0]}
	of := field.Type
	for {
		switch inner := of.(type) {
		case *ast.StarExpr:
			of = inner.X
			continue
		case *ast.ArrayType:
			of = inner.Elt
			continue
		case *ast.Ident:
			found.in, found.of = path, inner.Name
		case *ast.SelectorExpr:
			if name, ok := inner.X.(*ast.Ident); ok && imported[name.Name] != "" {
				found.in, found.of = imported[name.Name], inner.Sel.Name
			}
		}
		return found
	}
}

// The version from which on something is there without a gap; 0 if it is not in the newest. `gap` is whether it
// was there before as well.
func since(versions []version, has func(version) bool) (minor int, gap bool) {
	for index := len(versions) - 1; index >= 0; index-- {
		there := has(versions[index])
		if there && gap {
			continue
		}
		if there && (index == len(versions)-1 || minor == versions[index].minor+1) {
			minor = versions[index].minor
		} else if there {
			gap = true
		}
	}
	return minor, gap
}

// The fields that came after the oldest version and after the definition that they are of: who cannot reach a
// definition needs no word on its fields.
func came(versions []version) (found map[[2]string]int, wrong []string) {
	found = map[[2]string]int{}
	newest := versions[len(versions)-1]
	for definition, fields := range newest.fields {
		reachable, gap := since(versions, func(v version) bool { return v.fields[definition] != nil })
		if gap {
			wrong = append(wrong, definition+" went and came back")
		}
		for field, refers := range fields {
			minor, gap := since(versions, func(v version) bool { _, has := v.fields[definition][field]; return has })
			if gap {
				wrong = append(wrong, definition+" "+field+" went and came back")
			}
			for _, v := range versions {
				if before, has := v.fields[definition][field]; has && !slices.Equal(before, refers) {
					wrong = append(wrong, fmt.Sprintf("%s %s is of other definitions in 1.%d", definition, field, v.minor))
				}
			}
			if minor > reachable {
				found[[2]string{definition, field}] = minor
			}
		}
	}
	return found, wrong
}

// The values that came after their field did.
func cameValues(versions []version, fields map[[2]string]int) (found map[[3]string]int, wrong []string) {
	found = map[[3]string]int{}
	newest := versions[len(versions)-1]
	for at, values := range newest.values {
		field, _ := since(versions, func(v version) bool { _, has := v.fields[at[0]][at[1]]; return has })
		for _, value := range values {
			minor, gap := since(versions, func(v version) bool { return slices.Contains(v.values[at], value) })
			if gap {
				wrong = append(wrong, fmt.Sprintf("%s %q went and came back", at, value))
			}
			if minor > field && value != "" {
				found[[3]string{at[0], at[1], value}] = minor
			}
		}
	}
	for typed, values := range newest.open {
		for _, value := range values {
			there, _ := since(versions, func(v version) bool { return v.open[typed] != nil })
			minor, _ := since(versions, func(v version) bool { return slices.Contains(v.open[typed], value) })
			if minor > there {
				wrong = append(wrong, fmt.Sprintf("%s got %q: is it a closed list?", typed, value))
			}
		}
	}
	return found, wrong
}

func print(versions []version, fields map[[2]string]int, values map[[3]string]int) {
	oldest, newest := versions[0].minor, versions[len(versions)-1].minor
	fmt.Printf(`//! Which version of Kubernetes brought which field and which value, as far as our kinds reach.
//!
//! Written by %s out of k8s.io/client-go and k8s.io/api (Apache-2.0) 0.%d to 0.%d, and
//! compared with them by it: change that, not this. Fields of a definition that came with their definition
//! are not here: what refers to it is.

`, "`.ci/kubernetes`", oldest, newest)
	fmt.Printf("/// The oldest minor version that is known.\npub(super) const OLDEST: u8 = %d;\n", oldest)
	fmt.Printf("/// The newest: that of the schemas.\npub(super) const NEWEST: u8 = %d;\n\n", newest)
	lines := []string{}
	for at, minor := range fields {
		lines = append(lines, fmt.Sprintf("    (%q, %q, %d),\n", at[0], at[1], minor))
	}
	sort.Strings(lines)
	fmt.Printf("/// A definition, a field of it, and the minor version that brought it.\n")
	fmt.Printf("pub(super) const FIELDS: &[(&str, &str, u8)] = &[\n%s];\n\n", strings.Join(lines, ""))
	lines = []string{}
	for at, minor := range values {
		lines = append(lines, fmt.Sprintf("    (%q, %q, %q, %d),\n", at[0], at[1], at[2], minor))
	}
	sort.Strings(lines)
	fmt.Printf("/// A definition, a field of it, a value of that, and the minor version that brought it.\n")
	fmt.Printf("pub(super) const VALUES: &[(&str, &str, &str, u8)] = &[\n%s];\n", strings.Join(lines, ""))
}
