#!/bin/sh
# What own_machine.rs has done on its machine. Each line printed is one that it looks for.
k() { kutter kubectl --kubeconfig /var/lib/kutter/admin.kubeconfig "$@"; }
# Runs a command until it works, for some two minutes.
until_ok() {
  for _ in $(seq 120); do "$@" && return; sleep 1; done
  echo "gave up on: $*"
  k get pods -A -o wide; k get events -A; tail -n 40 /root/log
  exit 1
}
page() { wget -q -O /dev/null "http://$address/" && echo "$1: 200"; }
running() { [ "$(k get pods -l "$1" -o 'jsonpath={.items[*].status.phase}')" = Running ]; }

echo "controllers: $(tr ' ' '\n' </sys/fs/cgroup/cgroup.controllers | grep -x cpu)"
ip link add eth0 type dummy
ip address add 10.99.0.1/24 dev eth0
ip link set eth0 up
ip route add default via 10.99.0.254
links_before=$(ls /sys/class/net | wc -l)

kutter images import /root/nginx.tar
kutter images import /root/kutter-test.tar
kutter up --node-name machine >/root/log 2>&1 &
up=$!
until_ok grep -q 'ready in' /root/log
grep 'ready in' /root/log
k apply -f /root/machine.yaml

# The thin thread: a Deployment behind a Service, a pod that is killed and comes back.
k rollout status deployment/web --timeout=120s
address=$(k get service web -o 'jsonpath={.spec.clusterIP}')
until_ok page page
k delete pod -l app=web --wait=false
k rollout status deployment/web --timeout=120s
until_ok page 'after a kill'

# A container that eats more than it may.
ended() { k get pod eater -o 'jsonpath={.status.containerStatuses[0].state.terminated.reason}' | grep -q .; }
until_ok ended
echo "ended: $(k get pod eater -o 'jsonpath={.status.containerStatuses[0].state.terminated.reason} {.status.containerStatuses[0].state.terminated.exitCode}')"

# One that burns more than it may: a fifth of a core, measured over ten seconds.
until_ok running app=burner
uid=$(k get pod burner -o 'jsonpath={.metadata.uid}')
group=$(find /sys/fs/cgroup -type d -name "*$uid*" -o -type d -name "*$(echo "$uid" | tr - _)*" | head -n 1)
used() { awk '$1 == "usage_usec" { print $2 }' "$group/cpu.stat"; }
now() { awk '{ print int($1 * 1000000) }' /proc/uptime; }
before=$(used) from=$(now)
sleep 10
percent=$(( ($(used) - before) * 100 / ($(now) - from) ))
grep -q '^nr_throttled [1-9]' "$group/cpu.stat" && echo 'throttled: yes'
if [ "$percent" -ge 10 ] && [ "$percent" -le 25 ]; then echo 'share of a core: fair'; else echo "share of a core: $percent%"; fi

kill $up
wait $up
kutter down
processes=$(grep -lz '^/*[^ ]*kutter' /proc/[0-9]*/cmdline 2>/dev/null | wc -l)
cgroups=$(find /sys/fs/cgroup -mindepth 1 -type d -name '*kutter*' | wc -l)
mounts=$(grep -c /var/lib/kutter /proc/mounts)
links=$(( $(ls /sys/class/net | wc -l) - links_before ))
echo "left: processes $processes, cgroups $cgroups, mounts $mounts, links $links"
