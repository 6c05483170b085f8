// Command kubelab is one binary with four programs in it: etcd, kube-apiserver,
// kube-controller-manager and kube-scheduler, chosen by the first argument.
//
// One link instead of four saves most of the build time and disk of a real
// Kubernetes control plane. It holds no kubelet and no kube-proxy: nothing runs
// in the pods and no Service address routes anywhere.
package main

import (
	"fmt"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kcm "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	if len(os.Args) < 2 {
		usage("nothing was asked for")
	}
	os.Args = os.Args[1:]
	switch os.Args[0] {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(kcm.NewControllerManagerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	default:
		usage(fmt.Sprintf("unknown program %q", os.Args[0]))
	}
}

func usage(problem string) {
	fmt.Fprintln(os.Stderr, "kubelab:", problem+"; use one of: etcd, kube-apiserver, kube-controller-manager, kube-scheduler")
	os.Exit(2)
}
