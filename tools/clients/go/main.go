// client-go against a cluster, in JSON and in protobuf: informers, pages, apply, the dynamic and the
// metadata client, leader election; and an operator with mutating, validating and conversion webhooks
// over TLS. Reads KUBECONFIG, and from ADDRESS where the cluster reaches this program. Panics where
// anything is not as it must be.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var ctx = context.Background()

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	must(err)
	config.QPS, config.Burst = 200, 400
	useClients(rest.CopyConfig(config), "go-json")
	inProtobuf := rest.CopyConfig(config)
	inProtobuf.ContentType = "application/vnd.kubernetes.protobuf"
	inProtobuf.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	useClients(inProtobuf, "go-protobuf")
	useWebhooks(config)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func ensure(holds bool, what string, seen ...any) {
	if !holds {
		panic(fmt.Sprint(what, ": ", seen))
	}
}

// until looks until it finds something.
func until(what string, look func() bool) {
	for range 600 {
		if look() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	panic("not within a minute: " + what)
}
