module convene.invalid/etcd-2.3

go 1.26.0

require github.com/coreos/etcd v2.3.8+incompatible
