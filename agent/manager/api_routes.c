/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/api.h"

#include "common/cleanup.h"

#define MEMBERS(...) (const char *const []){ __VA_ARGS__, NULL }

static const struct api_route routes[] = {
	{ "GET", "/about", .flags = API_OPEN, .handler = api_about },
	{ "GET", "/status", "System.Read", .handler = api_status },

	{ "POST", "/session", .flags = API_OPEN | API_CREATES | API_BODY,
	  .members = MEMBERS("name", "password"), .handler = api_session_new },
	{ "GET", "/session", .handler = api_session_get },
	{ "DELETE", "/session", .handler = api_session_end },
	{ "PUT", "/session/password", .flags = API_BODY, .operation = "user.password",
	  .members = MEMBERS("password", "new_password"), .handler = api_session_password },
	{ "GET", "/session/privileges", .handler = api_session_privileges },

	{ "GET", "/users", "Authorization.ManageUsers", .handler = api_users_list },
	{ "POST", "/users", "Authorization.ManageUsers", .flags = API_CREATES | API_BODY,
	  .operation = "user.create", .members = MEMBERS("name", "password", "certificate"),
	  .handler = api_users_create },
	{ "GET", "/users/{user}", "Authorization.ManageUsers", .handler = api_users_get },
	{ "PATCH", "/users/{user}", "Authorization.ManageUsers", .flags = API_BODY,
	  .operation = "user.change", .members = MEMBERS("password", "certificate", "disabled"),
	  .handler = api_users_change },
	{ "DELETE", "/users/{user}", "Authorization.ManageUsers", .operation = "user.delete",
	  .handler = api_users_delete },

	{ "GET", "/privileges", .handler = api_privileges_list },
	{ "GET", "/roles", "System.Read", .handler = api_roles_list },
	{ "POST", "/roles", "Authorization.ModifyRoles", .flags = API_CREATES | API_BODY,
	  .operation = "role.create", .type = "RoleAddedEvent",
	  .members = MEMBERS("name", "privileges"), .handler = api_roles_create },
	{ "GET", "/roles/{role}", "System.Read", .handler = api_roles_get },
	{ "PUT", "/roles/{role}", "Authorization.ModifyRoles", .flags = API_BODY,
	  .operation = "role.change", .type = "RoleUpdatedEvent",
	  .members = MEMBERS("privileges"), .handler = api_roles_replace },
	{ "DELETE", "/roles/{role}", "Authorization.ModifyRoles", .operation = "role.delete",
	  .type = "RoleRemovedEvent", .handler = api_roles_delete },
	{ "GET", "/permissions", "System.Read", .handler = api_permissions_list },
	{ "POST", "/permissions", .flags = API_CREATES | API_BODY,
	  .operation = "permission.set", .type = "PermissionAddedEvent",
	  .members = MEMBERS("user", "role", "object", "propagate"),
	  .handler = api_permissions_set },
	{ "DELETE", "/permissions/{permission}", .operation = "permission.delete",
	  .type = "PermissionRemovedEvent", .handler = api_permissions_delete },

	{ "GET", "/events", "System.Read", .handler = api_events_list },
	{ "GET", "/events/verify", "System.Read", .handler = api_events_verify },

	{ "GET", "/clusters", .handler = api_clusters_list },
	{ "POST", "/clusters", "Host.Inventory.CreateCluster", .flags = API_CREATES | API_BODY,
	  .operation = "cluster.create", .type = "ClusterCreatedEvent",
	  .members = MEMBERS("name"), .handler = api_clusters_create },
	{ "GET", "/clusters/{cluster}", "System.View", .kind = "cluster",
	  .handler = api_clusters_get },
	{ "PATCH", "/clusters/{cluster}", "Host.Inventory.EditCluster", .kind = "cluster",
	  .flags = API_BODY, .operation = "cluster.rename",
	  .type = "ClusterReconfiguredEvent", .members = MEMBERS("name"),
	  .handler = api_clusters_rename },
	{ "DELETE", "/clusters/{cluster}", "Host.Inventory.DeleteCluster", .kind = "cluster",
	  .operation = "cluster.delete", .type = "ClusterDestroyedEvent",
	  .handler = api_clusters_delete },

	{ "GET", "/hosts", .handler = api_hosts_list },
	{ "GET", "/hosts/{host}", "System.View", .kind = "host", .handler = api_hosts_get },

	{ "GET", "/vms", .handler = api_vms_list },
	{ "POST", "/vms", .flags = API_CREATES | API_BODY, .operation = "vm.register",
	  .type = "VmRegisteredEvent", .members = MEMBERS("id", "name", "cluster", "host"),
	  .handler = api_vms_register },
	{ "GET", "/vms/{vm}", "System.View", .kind = "vm", .handler = api_vms_get },
	{ "DELETE", "/vms/{vm}", "VirtualMachine.Inventory.Unregister", .kind = "vm",
	  .operation = "vm.unregister", .type = "VmRemovedEvent",
	  .handler = api_vms_unregister },

	{ "GET", "/disks", .handler = api_disks_list },
	{ "POST", "/disks", .flags = API_CREATES | API_BODY, .operation = "disk.create",
	  .type = "crypto.Operation",
	  .members = MEMBERS("host", "vm", "device", "disk", "provider", "sector_size", "key_bits",
			     "header"),
	  .handler = api_disks_create },
	{ "GET", "/disks/{disk}", .kind = "disk", .handler = api_disks_get },
	{ "POST", "/disks/{disk}/attach", .kind = "disk", .flags = API_BODY,
	  .operation = "disk.attach", .type = "crypto.Operation",
	  .members = MEMBERS("host", "device", "name", "header", "discard", "key_loss",
			     "read_only"),
	  .handler = api_disks_attach },
	{ "POST", "/disks/{disk}/detach", .kind = "disk", .flags = API_BODY,
	  .operation = "disk.detach", .type = "crypto.Operation", .members = MEMBERS("host"),
	  .handler = api_disks_detach },
	{ "POST", "/disks/{disk}/lock", .kind = "disk", .flags = API_BODY,
	  .operation = "disk.lock", .type = "crypto.Operation", .members = MEMBERS("host"),
	  .handler = api_disks_lock },
	{ "POST", "/disks/{disk}/unlock", .kind = "disk", .flags = API_BODY,
	  .operation = "disk.unlock", .type = "crypto.Operation", .members = MEMBERS("host"),
	  .handler = api_disks_unlock },
};

const struct api_route *api_routes(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(routes);
	return routes;
}
