#!/bin/bash
# A store of its own in the folder $1: a monitor at port $3, a disk in memory, a gateway at port $2. Each process is noted in
# $1/pids, the gateway's command in $1/gateway. `gateway` as $4 starts only that one again.
set -eu
dir=$1 port=$2 mon=$3
export CEPH_CONF=$dir/ceph.conf
start() { "$@" >"$dir/$1.out" 2>&1 & echo $! >>"$dir/pids"; }
gateway() {
    start radosgw -f -n client.admin -c "$CEPH_CONF" --rgw-frontends "beast endpoint=127.0.0.1:$port"
    echo $! >"$dir/gateway"
    for _ in $(seq 600); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
        sleep 0.1
    done
    echo 'the gateway does not listen'; cat "$dir/radosgw.out"; exit 1
}
if [ "${4:-}" = gateway ]; then gateway; exit; fi
mkdir -p "$dir"/{mon,mgr,osd,rgw,run}
fsid=$(cat /proc/sys/kernel/random/uuid)
cat >"$dir/ceph.conf" <<E
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$mon]
public network = 127.0.0.0/8
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon warn on pool no redundancy = false
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 3221225472
rgw bucket quota ttl = 0
rgw user quota bucket sync interval = 1
rgw user quota sync interval = 1
osd memory target = 939524096
ms bind msgr1 = false
run dir = $dir/run
admin socket = $dir/run/\$name.\$pid.asok
pid file = $dir/run/\$name.pid
log file = $dir/\$name.log
mon data = $dir/mon
mgr data = $dir/mgr
osd data = $dir/osd
rgw data = $dir/rgw
mon data avail warn = 1
keyring = $dir/keyring
mon cluster log file = $dir/cluster.log
mon compact on start = false
mgr initial modules = 
debug none = 0/0
E
keys=$dir/keyring
ceph-authtool --create-keyring "$keys" --gen-key -n mon. --cap mon 'allow *' >/dev/null
ceph-authtool "$keys" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' >/dev/null
ceph-authtool "$keys" --gen-key -n mgr.x --cap mon 'allow profile mgr' --cap osd 'allow *' >/dev/null
ceph-authtool "$keys" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow profile osd' >/dev/null
ceph-mon --mkfs -i a -c "$CEPH_CONF" --public-addrv "[v2:127.0.0.1:$mon]" --keyring "$keys"
start ceph-mon -f -i a -c "$CEPH_CONF" --public-addrv "[v2:127.0.0.1:$mon]"
timeout 60 ceph -c "$CEPH_CONF" -s >/dev/null
start ceph-mgr -f -i x -c "$CEPH_CONF"
id=$(timeout 60 ceph -c "$CEPH_CONF" osd create)
ceph-osd -i "$id" --mkfs -c "$CEPH_CONF" >"$dir/mkfs.out" 2>&1
start ceph-osd -f -i "$id" -c "$CEPH_CONF"
for i in $(seq 100); do ceph -c "$CEPH_CONF" osd stat | grep -q '1 up' && break; sleep 0.1; done
gateway
radosgw-admin -c "$CEPH_CONF" user create --uid=clusterdeck --display-name=Clusterdeck --access-key=ACCESS --secret-key=SECRETSECRET >"$dir/user.json"
