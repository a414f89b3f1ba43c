// Mutual TLS with etcd: the files that say who etcd is and who we are.
//
// etcd takes the common name of our certificate as the user whose role decides which keys we may touch
// (--client-cert-auth and `etcdctl auth enable`); EtcdOptions.prefix keeps us below the role's prefix.
// Threads: functions on values.
#pragma once

#include <grpcpp/security/credentials.h>

#include <memory>

#include "market/registry/etcd/etcd_store.h"

namespace accelmesh::registry {

// What connections are made with. Errors name the file and the remedy: kNotFound, kPermissionDenied (a key that others
// can read), kInvalidArgument (no PEM).
Result<std::shared_ptr<grpc::ChannelCredentials>> EtcdCredentials(const std::optional<EtcdTls>& tls);

}  // namespace accelmesh::registry
