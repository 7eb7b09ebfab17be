/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/privilege.h"

#include <string.h>

#include "common/cleanup.h"

/* Values of @crypto, @read and @asked: what is only PLANNED is asked for by no operation. */
#define PLAIN		false, false, true
#define PLAIN_PLANNED	false, false, false
#define CRYPTO		true, false, true
#define CRYPTO_PLANNED	true, false, false
#define READ		false, true, true
#define READ_PLANNED	false, true, false

/*
 * What is marked CRYPTO beside the verbs of cryptography leads to keys by a side
 * door: a dump holds them, a new or moved host receives them, a user of the host's
 * shell or of the running guest reads what they protect.
 */
static const struct privilege table[] = {
	{ "Alarm.Acknowledge", "acknowledge alarms", PLAIN_PLANNED },
	{ "Authorization.ManageUsers", "create, change and delete users", PLAIN },
	{ "Authorization.ModifyPermissions", "give and take permissions", PLAIN },
	{ "Authorization.ModifyRoles", "create, change and delete roles", PLAIN },
	{ "Certificate.Manage", "renew and revoke certificates", PLAIN_PLANNED },
	{ "Cryptographer.Access", "direct access to an encrypted VM's disks", CRYPTO },
	{ "Cryptographer.AddDisk", "add a disk to an encrypted VM", CRYPTO },
	{ "Cryptographer.Clone", "clone an encrypted VM", CRYPTO_PLANNED },
	{ "Cryptographer.Decrypt", "decrypt a VM or a disk", CRYPTO_PLANNED },
	{ "Cryptographer.Encrypt", "encrypt a VM or a disk", CRYPTO_PLANNED },
	{ "Cryptographer.EncryptNew", "encrypt a new VM or disk", CRYPTO },
	{ "Cryptographer.ManageEncryptionPolicy", "set what is to be encrypted", CRYPTO_PLANNED },
	{ "Cryptographer.ManageKeyServers", "add, change, export and remove key providers", CRYPTO },
	{ "Cryptographer.ManageKeys", "create, push and remove keys", CRYPTO },
	{ "Cryptographer.Migrate", "migrate an encrypted VM", CRYPTO },
	{ "Cryptographer.ReadKeyServersInfo", "read about key providers", CRYPTO },
	{ "Cryptographer.Recrypt", "give an encrypted VM new keys", CRYPTO_PLANNED },
	{ "Cryptographer.RegisterHost", "enable encryption on a host", CRYPTO },
	{ "Cryptographer.RegisterVM", "register an encrypted VM", CRYPTO },
	{ "Global.Diagnostics", "collect support bundles and dumps", CRYPTO_PLANNED },
	{ "Global.Settings", "change settings of the manager", PLAIN_PLANNED },
	{ "Host.Config.Settings", "change settings of a host", PLAIN },
	{ "Host.Inventory.AddHostToCluster", "let a host join a cluster", CRYPTO },
	{ "Host.Inventory.AddStandaloneHost", "let a host join without a cluster", CRYPTO },
	{ "Host.Inventory.CreateCluster", "create clusters", PLAIN },
	{ "Host.Inventory.DeleteCluster", "delete clusters", PLAIN },
	{ "Host.Inventory.EditCluster", "change a cluster", PLAIN },
	{ "Host.Inventory.MoveHost", "move a host to another cluster, whose keys it gets", CRYPTO },
	{ "Host.Inventory.RemoveHostFromCluster", "remove a host", PLAIN },
	{ "Host.Local.ManageUserGroups", "manage the users of a host's shell", CRYPTO_PLANNED },
	{ "Host.Tpm.Read", "read a host's TPM", CRYPTO_PLANNED },
	{ "Host.Tpm.Unseal", "unseal secrets with a host's TPM", CRYPTO_PLANNED },
	{ "System.Anonymous", "what needs no login", READ_PLANNED },
	{ "System.Read", "read everything but key material", READ },
	{ "System.View", "see that an object is there", READ },
	{ "VirtualMachine.Config.AddExistingDisk", "add an existing disk to a VM", PLAIN_PLANNED },
	{ "VirtualMachine.Config.AddNewDisk", "add a new disk to a VM", PLAIN_PLANNED },
	{ "VirtualMachine.Config.RemoveDisk", "remove a disk from a VM", PLAIN },
	{ "VirtualMachine.Interact.GuestControl", "reach into the running guest", CRYPTO_PLANNED },
	{ "VirtualMachine.Interact.PowerOff", "stop a VM", PLAIN_PLANNED },
	{ "VirtualMachine.Interact.PowerOn", "start a VM", PLAIN_PLANNED },
	{ "VirtualMachine.Inventory.Create", "create VMs", PLAIN_PLANNED },
	{ "VirtualMachine.Inventory.Delete", "delete VMs", PLAIN_PLANNED },
	{ "VirtualMachine.Inventory.Move", "move a VM to another host or cluster", PLAIN_PLANNED },
	{ "VirtualMachine.Inventory.Register", "register VMs", PLAIN_PLANNED },
	{ "VirtualMachine.Inventory.Unregister", "unregister VMs", PLAIN },
};

_Static_assert(ARRAY_SIZE(table) <= PRIVILEGE_MAX, "a set has no room for all privileges");

const struct privilege *privilege_table(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(table);
	return table;
}

privilege_set privilege_bit(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(table[i].name, name) == 0)
			return (privilege_set) 1 << i;
	return 0;
}

json_t *privilege_names(privilege_set set)
{
	_cleanup_json_ json_t *names = json_array();
	size_t i;

	if (!names)
		return NULL;
	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (set >> i & 1 && json_array_append_new(names, json_string(table[i].name)) < 0)
			return NULL;
	return TAKE_PTR(names);
}
