package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
)

func useClients(config *rest.Config, namespace string) {
	client := kubernetes.NewForConfigOrDie(config)
	makeNamespace(client, namespace)
	useInformer(client, namespace)
	useDynamic(config, namespace)
	electLeaders(client, namespace)
	_, lists, err := client.Discovery().ServerGroupsAndResources()
	must(err)
	ensure(len(lists) > 20, "discovery", len(lists))
	_, err = client.CoreV1().Pods(namespace).Get(ctx, "nope", meta.GetOptions{})
	ensure(errors.IsNotFound(err), "no such pod", err)
	deleteNamespace(client, namespace)
}

func makeNamespace(client kubernetes.Interface, name string) {
	namespace := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: name}}
	_, err := client.CoreV1().Namespaces().Create(ctx, namespace, meta.CreateOptions{})
	must(err)
}

func deleteNamespace(client kubernetes.Interface, name string) {
	must(client.CoreV1().Namespaces().Delete(ctx, name, meta.DeleteOptions{}))
	until("the namespace goes", func() bool {
		_, err := client.CoreV1().Namespaces().Get(ctx, name, meta.GetOptions{})
		return errors.IsNotFound(err)
	})
}

func useInformer(client kubernetes.Interface, namespace string) {
	var added, updated, deleted atomic.Int64
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	_, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { added.Add(1) },
		UpdateFunc: func(any, any) { updated.Add(1) },
		DeleteFunc: func(any) { deleted.Add(1) },
	})
	must(err)
	stop := make(chan struct{})
	defer close(stop)
	factory.Start(stop)
	factory.WaitForCacheSync(stop)

	maps := client.CoreV1().ConfigMaps(namespace)
	const count = 50
	for i := range count {
		one := &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: fmt.Sprint("c", i)}}
		_, err := maps.Create(ctx, one, meta.CreateOptions{})
		must(err)
	}
	until("the informer sees them come", func() bool { return added.Load() >= count })
	must(retry.RetryOnConflict(retry.DefaultRetry, func() error {
		one, err := maps.Get(ctx, "c0", meta.GetOptions{})
		must(err)
		one.Data = map[string]string{"a": "b"}
		_, err = maps.Update(ctx, one, meta.UpdateOptions{})
		return err
	}))
	until("the informer sees one change", func() bool { return updated.Load() >= 1 })
	wanted := apply.ConfigMap("c1", namespace).WithData(map[string]string{"x": "y"})
	_, err = maps.Apply(ctx, wanted, meta.ApplyOptions{FieldManager: "go", Force: true})
	must(err)

	seen, token := 0, ""
	for page := 0; page == 0 || token != ""; page++ {
		list, err := maps.List(ctx, meta.ListOptions{Limit: 7, Continue: token})
		must(err)
		seen, token = seen+len(list.Items), list.Continue
	}
	ensure(seen >= count, "all of them page by page", seen)
	must(maps.DeleteCollection(ctx, meta.DeleteOptions{}, meta.ListOptions{}))
	until("the informer sees them go", func() bool { return deleted.Load() >= count })
}

func useDynamic(config *rest.Config, namespace string) {
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	client := dynamic.NewForConfigOrDie(config)
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, namespace, nil)
	informer := factory.ForResource(secrets)
	stop := make(chan struct{})
	defer close(stop)
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s"}, "stringData": map[string]any{"a": "b"},
	}}
	_, err := client.Resource(secrets).Namespace(namespace).Create(ctx, secret, meta.CreateOptions{})
	must(err)
	until("the dynamic informer sees it", func() bool {
		_, err := informer.Lister().ByNamespace(namespace).Get("s")
		return err == nil
	})
	patch := []byte(`{"metadata":{"labels":{"a":"b"}}}`)
	_, err = client.Resource(secrets).Namespace(namespace).Patch(ctx, "s", types.MergePatchType, patch, meta.PatchOptions{})
	must(err)
	list, err := metadata.NewForConfigOrDie(config).Resource(secrets).Namespace(namespace).List(ctx, meta.ListOptions{})
	must(err)
	ensure(len(list.Items) == 1 && list.Items[0].Labels["a"] == "b", "metadata", list)
}

// electLeaders has two candidates; the first lets go, the second follows.
func electLeaders(client kubernetes.Interface, namespace string) {
	var leader atomic.Value
	leader.Store("")
	stand := func(name string) context.CancelFunc {
		standing, leave := context.WithCancel(ctx)
		lock := &resourcelock.LeaseLock{
			LeaseMeta:  meta.ObjectMeta{Name: "lock", Namespace: namespace},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		go leaderelection.RunOrDie(standing, leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true,
			LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: time.Second,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { leader.Store(name) },
				OnStoppedLeading: func() {},
			},
		})
		return leave
	}
	firstLeaves := stand("first")
	until("the first leads", func() bool { return leader.Load() == "first" })
	secondLeaves := stand("second")
	defer secondLeaves()
	firstLeaves()
	until("the second follows", func() bool { return leader.Load() == "second" })
}
