//! A client of another make than etcd's own: the npm package etcd3.
