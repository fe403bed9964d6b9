package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

type object = map[string]any

const (
	group     = "hooks.example.com"
	namespace = "hooks"
)

// useWebhooks serves the three kinds of webhook itself, and is called first by URL and then as a Service.
func useWebhooks(config *rest.Config) {
	authority, certificate := certificates()
	listener, err := tls.Listen("tcp", ":9443", &tls.Config{Certificates: []tls.Certificate{certificate}})
	must(err)
	go http.Serve(listener, handlers())
	client := kubernetes.NewForConfigOrDie(config)
	objects := dynamic.NewForConfigOrDie(config)
	makeNamespace(client, namespace)
	serve(objects)
	byURL := func(path string) object {
		return object{"url": "https://127.0.0.1:9443" + path, "caBundle": authority}
	}
	byService := func(path string) object {
		service := object{"namespace": namespace, "name": "hook", "path": path, "port": 443}
		return object{"service": service, "caBundle": authority}
	}
	for way, reach := range map[string]func(string) object{"url": byURL, "service": byService} {
		configure(objects, reach)
		operate(objects, way)
	}
	for _, kind := range []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} {
		must(resource(objects, "admissionregistration.k8s.io", "v1", kind).Delete(ctx, "notes", meta.DeleteOptions{}))
	}
	definitions := resource(objects, "apiextensions.k8s.io", "v1", "customresourcedefinitions")
	must(definitions.Delete(ctx, "notes."+group, meta.DeleteOptions{}))
	deleteNamespace(client, namespace)
}

func resource(objects dynamic.Interface, group, version, plural string) dynamic.NamespaceableResourceInterface {
	return objects.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: plural})
}

// operate lives with the webhooks: what is written is changed, checked and converted.
func operate(objects dynamic.Interface, way string) {
	v1, v2 := resource(objects, group, "v1", "notes").Namespace(namespace), resource(objects, group, "v2", "notes").Namespace(namespace)
	name := "by-" + way
	// Definitions and webhooks take a moment to be in force.
	until("mutation by "+way, func() bool {
		_ = v1.Delete(ctx, name, meta.DeleteOptions{})
		made, err := v1.Create(ctx, note("v1", name, object{"text": "a b c"}), meta.CreateOptions{})
		if err != nil {
			return false
		}
		mutated, _, _ := unstructured.NestedBool(made.Object, "spec", "mutated")
		return mutated
	})
	found, err := v2.Get(ctx, name, meta.GetOptions{})
	must(err)
	words, _, _ := unstructured.NestedStringSlice(found.Object, "spec", "words")
	ensure(slices.Equal(words, []string{"a", "b", "c"}), "converted", found)
	// The rules name v1 alone; v2 is equivalent.
	wanted := note("v2", name+"-too", object{"words": []any{"x", "y"}})
	_, err = v2.Apply(ctx, wanted.GetName(), wanted, meta.ApplyOptions{FieldManager: "go", Force: true})
	must(err)
	found, err = v1.Get(ctx, wanted.GetName(), meta.GetOptions{})
	must(err)
	spec := found.Object["spec"].(object)
	ensure(spec["text"] == "x y" && spec["mutated"] == true, "applied through v2", found)
	_, err = v1.Create(ctx, note("v1", "bad", object{"text": "forbidden"}), meta.CreateOptions{})
	ensure(errors.IsForbidden(err) && strings.Contains(err.Error(), "that word is forbidden"), "refused", err)
	events, err := v2.Watch(ctx, meta.ListOptions{})
	must(err)
	event := <-events.ResultChan()
	ensure(event.Object.(*unstructured.Unstructured).GetAPIVersion() == group+"/v2", "watched", event)
	events.Stop()
}

func note(version, name string, spec object) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: object{
		"apiVersion": group + "/" + version, "kind": "Note", "metadata": object{"name": name}, "spec": spec,
	}}
}

// serve makes a Service without a selector that leads to this program.
func serve(objects dynamic.Interface) {
	put(resource(objects, "", "v1", "services").Namespace(namespace), object{
		"apiVersion": "v1", "kind": "Service", "metadata": object{"name": "hook"},
		"spec": object{"ports": []object{{"port": 443, "targetPort": 9443}}},
	})
	put(resource(objects, "discovery.k8s.io", "v1", "endpointslices").Namespace(namespace), object{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
		"metadata":  object{"name": "hook", "labels": object{"kubernetes.io/service-name": "hook"}},
		"ports":     []object{{"name": "", "port": 9443, "protocol": "TCP"}},
		"endpoints": []object{{"addresses": []string{os.Getenv("ADDRESS")}, "conditions": object{"ready": true}}},
	})
}

func configure(objects dynamic.Interface, reach func(string) object) {
	version := func(name, field string, kind object, stored bool) object {
		spec := object{"type": "object", "properties": object{"mutated": object{"type": "boolean"}, field: kind}}
		schema := object{"type": "object", "properties": object{"spec": spec}}
		return object{"name": name, "served": true, "storage": stored, "schema": object{"openAPIV3Schema": schema}}
	}
	text := object{"type": "string"}
	put(resource(objects, "apiextensions.k8s.io", "v1", "customresourcedefinitions"), object{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": object{"name": "notes." + group},
		"spec": object{
			"group": group, "scope": "Namespaced", "names": object{"plural": "notes", "kind": "Note"},
			"versions": []object{
				version("v1", "text", text, true),
				version("v2", "words", object{"type": "array", "items": text}, false),
			},
			"conversion": object{"strategy": "Webhook", "webhook": object{
				"conversionReviewVersions": []string{"v1"}, "clientConfig": reach("/convert")}},
		},
	})
	for kind, path := range map[string]string{"Mutating": "/mutate", "Validating": "/validate"} {
		plural := strings.ToLower(kind) + "webhookconfigurations"
		put(resource(objects, "admissionregistration.k8s.io", "v1", plural), object{
			"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind + "WebhookConfiguration",
			"metadata": object{"name": "notes"},
			"webhooks": []object{{
				"name": "notes." + group, "clientConfig": reach(path), "sideEffects": "None",
				"admissionReviewVersions": []string{"v1"},
				"rules": []object{{"apiGroups": []string{group}, "apiVersions": []string{"v1"},
					"resources": []string{"notes"}, "operations": []string{"CREATE", "UPDATE"}}},
			}},
		})
	}
}

func put(where dynamic.ResourceInterface, what object) {
	// The client takes plain JSON values alone.
	text, err := json.Marshal(what)
	must(err)
	wanted := &unstructured.Unstructured{}
	must(wanted.UnmarshalJSON(text))
	_, err = where.Apply(ctx, wanted.GetName(), wanted, meta.ApplyOptions{FieldManager: "go", Force: true})
	must(err)
}

func handlers() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/mutate", review(func(object) object {
		patch := []byte(`[{"op":"add","path":"/spec/mutated","value":true}]`)
		return object{"allowed": true, "patchType": "JSONPatch", "patch": patch}
	}))
	mux.HandleFunc("/validate", review(func(request object) object {
		if text, _ := json.Marshal(request["object"]); !strings.Contains(string(text), "forbidden") {
			return object{"allowed": true}
		}
		return object{"allowed": false, "status": object{"message": "that word is forbidden", "code": 403}}
	}))
	mux.HandleFunc("/convert", review(func(request object) object {
		converted := request["objects"].([]any)
		for _, one := range converted {
			convert(one.(object), request["desiredAPIVersion"].(string))
		}
		return object{"result": object{"status": "Success"}, "convertedObjects": converted}
	}))
	return mux
}

// review answers the request of an admission or conversion review.
func review(answer func(request object) object) http.HandlerFunc {
	return func(writer http.ResponseWriter, request *http.Request) {
		var review object
		must(json.NewDecoder(request.Body).Decode(&review))
		asked := review["request"].(object)
		response := answer(asked)
		response["uid"] = asked["uid"]
		writer.Header().Set("Content-Type", "application/json")
		must(json.NewEncoder(writer).Encode(object{
			"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response,
		}))
	}
}

// convert makes words of a text, or a text of words.
func convert(note object, version string) {
	note["apiVersion"] = version
	spec, _ := note["spec"].(object)
	if text, found := spec["text"].(string); found && version == group+"/v2" {
		delete(spec, "text")
		spec["words"] = strings.Split(text, " ")
	}
	if words, found := spec["words"].([]any); found && version == group+"/v1" {
		delete(spec, "words")
		spec["text"] = strings.TrimSuffix(fmt.Sprintln(words...), "\n")
	}
}

// certificates makes an authority, in PEM, and what it signed for this program.
func certificates() ([]byte, tls.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	own := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "hook"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		DNSNames: []string{"hook." + namespace + ".svc"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	signedAuthority, err := x509.CreateCertificate(rand.Reader, authority, authority, &key.PublicKey, key)
	must(err)
	signed, err := x509.CreateCertificate(rand.Reader, own, authority, &key.PublicKey, key)
	must(err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signedAuthority})
	return text, tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}
}
