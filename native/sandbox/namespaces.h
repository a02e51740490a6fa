#pragma once
#include <sys/types.h>

namespace branchmerge::sandbox {

/// Forks, as ::fork does, into namespaces of mounts, processes, network, System V's objects, host name and
/// control groups.
///
/// @param with_users and of users: what who is not root needs. The child then calls map_user
/// @return -1 with errno where that is not allowed
pid_t fork_into_namespaces(bool with_users);

/// In a new user namespace: the only user that it knows is the one who made it, by the same number. Throws
/// Failure.
void map_user(uid_t user, gid_t group);

/// Forgets the machine's name. Throws Failure.
void hide_host_name();

}  // namespace branchmerge::sandbox
