//! The part of etcd's API that Convene speaks.
