{{/* Names, labels, and the configuration document with the chart's own paths filled in. */}}

{{- define "riposte.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters, because a StatefulSet's pods carry a label of its name and a hash. */}}
{{- define "riposte.fullname" -}}
{{- $name := include "riposte.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "riposte.selectorLabels" -}}
app.kubernetes.io/name: {{ include "riposte.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "riposte.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: riposte
{{- end -}}

{{- define "riposte.labels" -}}
{{ include "riposte.selectorLabels" . }}
{{ include "riposte.commonLabels" . }}
{{- end -}}

{{- define "riposte.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The port of server.listen. */}}
{{- define "riposte.port" -}}
{{- regexFind "[0-9]+$" .Values.config.server.listen -}}
{{- end -}}

{{/* The TCP port that a URL leads to; nothing for a file. */}}
{{- define "riposte.urlPort" -}}
{{- $url := urlParse . -}}
{{- $defaults := dict "https" "443" "http" "80" "ssh" "22" -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (get $defaults $url.scheme) -}}
{{- end -}}

{{/* The configuration: the user's document, and where it is silent the files that the chart mounts. */}}
{{- define "riposte.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $server := $config.server -}}
{{- $repository := $config.repository -}}
{{- $secrets := .Values.secrets -}}
{{- $dir := "/etc/riposte/secrets" -}}
{{- if and $secrets.ingest.name (not $server.ingestTokenFiles) -}}
{{- $_ := set $server "ingestTokenFiles" (list (printf "%s/ingest/token" $dir)) -}}
{{- end -}}
{{- if and $secrets.api.name (not $server.apiTokenFiles) -}}
{{- $_ := set $server "apiTokenFiles" (list (printf "%s/api/token" $dir)) -}}
{{- end -}}
{{- $auth := $repository.auth | default dict -}}
{{- if and $secrets.repositoryToken.name (not $auth.tokenFile) -}}
{{- $_ := set $auth "tokenFile" (printf "%s/repository/token" $dir) -}}
{{- end -}}
{{- if $secrets.repositoryApp.name -}}
{{- $app := $auth.app | default dict -}}
{{- if not $app.keyFile -}}
{{- $_ := set $app "keyFile" (printf "%s/app/key.pem" $dir) -}}
{{- end -}}
{{- $_ := set $auth "app" $app -}}
{{- end -}}
{{- if $secrets.signing.name -}}
{{- $signing := $repository.signing | default (dict "format" "ssh") -}}
{{- if not $signing.keyFile -}}
{{- $_ := set $signing "keyFile" (printf "%s/signing/key" $dir) -}}
{{- end -}}
{{- $_ := set $repository "signing" $signing -}}
{{- end -}}
{{- if $secrets.repositorySsh.name -}}
{{- if not $auth.sshKeyFile -}}
{{- $_ := set $auth "sshKeyFile" (printf "%s/repository/identity" $dir) -}}
{{- end -}}
{{- if not $auth.knownHostsFile -}}
{{- $_ := set $auth "knownHostsFile" (printf "%s/repository/known_hosts" $dir) -}}
{{- end -}}
{{- end -}}
{{- if $auth -}}
{{- $_ := set $repository "auth" $auth -}}
{{- end -}}
{{- include "riposte.checkConfig" $config -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What the schema cannot say in words that help. */}}
{{- define "riposte.checkConfig" -}}
{{- $repository := .repository -}}
{{- if not $repository.url -}}
{{- fail "config.repository.url is not set: give the repository of your manifests, for example https://github.com/acme/fleet.git" -}}
{{- end -}}
{{- if eq .server.auth "tokens" -}}
{{- if not .server.ingestTokenFiles -}}
{{- fail "senders have no token: create a Secret and name it in secrets.ingest.name, or say config.server.auth: none" -}}
{{- end -}}
{{- if not .server.apiTokenFiles -}}
{{- fail "clients have no token: create a Secret and name it in secrets.api.name, or say config.server.auth: none" -}}
{{- end -}}
{{- end -}}
{{- $auth := $repository.auth | default dict -}}
{{- $ssh := hasPrefix "ssh://" $repository.url -}}
{{- if gt (len (compact (list $auth.tokenFile $auth.sshKeyFile (dig "app" "keyFile" "" $auth)))) 1 -}}
{{- fail "the repository has two credentials: give one of secrets.repositoryToken, secrets.repositoryApp and secrets.repositorySsh" -}}
{{- end -}}
{{- if and $auth.app (not $auth.app.id) -}}
{{- fail "secrets.repositoryApp is the key of a GitHub App: give its id in config.repository.auth.app.id" -}}
{{- end -}}
{{- if and $ssh (not $auth.sshKeyFile) -}}
{{- fail "config.repository.url is ssh://, which needs a key: name its Secret in secrets.repositorySsh.name" -}}
{{- end -}}
{{- if and $auth.sshKeyFile (not $ssh) -}}
{{- fail "secrets.repositorySsh is for an ssh:// repository; for https:// give secrets.repositoryToken" -}}
{{- end -}}
{{- $github := or $repository.github (hasPrefix "https://github.com/" $repository.url) -}}
{{- if and $github (not (or $auth.tokenFile $auth.app)) -}}
{{- fail "GitHub needs a token: create a Secret and name it in secrets.repositoryToken.name, or a GitHub App's key in secrets.repositoryApp.name" -}}
{{- end -}}
{{- if and $github $repository.signing -}}
{{- fail "secrets.signing is for plain Git: GitHub signs the commits that come through its API" -}}
{{- end -}}
{{- end -}}

{{/* The Secrets to mount: directory, Secret, and which key becomes which file. */}}
{{- define "riposte.secretVolumes" -}}
{{- $volumes := list -}}
{{- $secrets := .Values.secrets -}}
{{- range $dir, $secret := dict "ingest" $secrets.ingest "api" $secrets.api "repository" $secrets.repositoryToken "flux" $secrets.fluxWebhook -}}
{{- if $secret.name -}}
{{- $items := list (dict "key" $secret.key "path" "token") -}}
{{- $volumes = append $volumes (dict "dir" $dir "secret" $secret.name "items" $items) -}}
{{- end -}}
{{- end -}}
{{- with $secrets.repositoryApp -}}
{{- if .name -}}
{{- $volumes = append $volumes (dict "dir" "app" "secret" .name "items" (list (dict "key" .key "path" "key.pem"))) -}}
{{- end -}}
{{- end -}}
{{- with $secrets.signing -}}
{{- if .name -}}
{{- $volumes = append $volumes (dict "dir" "signing" "secret" .name "items" (list (dict "key" .key "path" "key"))) -}}
{{- end -}}
{{- end -}}
{{- with $secrets.repositorySsh -}}
{{- if .name -}}
{{- $items := list (dict "key" .key "path" "identity") (dict "key" .knownHostsKey "path" "known_hosts") -}}
{{- $volumes = append $volumes (dict "dir" "repository" "secret" .name "items" $items) -}}
{{- end -}}
{{- end -}}
{{- toJson $volumes -}}
{{- end -}}
