// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/command.h"

#include "cli/show.h"
#include "common/cleanup.h"

#define PROVIDER_NAME \
	{ .name = "name", .value = "NAME", .kind = CLI_TEXT, \
	  .help = "name of the key provider" }
#define DISK_DEVICE \
	{ .name = "device", .value = "DEVICE", .kind = CLI_PATH, \
	  .help = "the block device that holds the data" }
#define DISK_OBJECT \
	{ .name = "name", .value = "NAME", .kind = CLI_OBJECT, \
	  .help = "name of the mapped device, device below it, or UUID of the DEK" }
#define HEADER \
	{ .name = "header", .value = "FILE", .kind = CLI_PATH, \
	  .help = "the detached LUKS2 header" }
#define DISCARD \
	{ .name = "discard", .kind = CLI_FLAG, \
	  .help = "pass discards down; shows which blocks are unused" }
#define KEY_LOSS \
	{ .name = "key-loss", .value = "queue|error", .kind = CLI_TEXT, \
	  .choices = "queue|error", \
	  .help = "I/O while the key is missing: wait (queue) or fail (error)" }
#define REQUIRE_TPM \
	{ .name = "require-tpm", .kind = CLI_FLAG, .excludes = "allow-unsealed", \
	  .help = "refuse unless the key can be sealed to a TPM" }
#define ALLOW_UNSEALED \
	{ .name = "allow-unsealed", .kind = CLI_FLAG, .excludes = "require-tpm", \
	  .help = "keep the key in a file of root's where there is no TPM" }

const struct cli_command cli_commands[] = {
	{
		.noun = "status", .op = "status",
		.summary = "state of this host: mode, providers, disks, warnings",
		.show = show_status,
	},
	{
		.noun = "provider", .verb = "create", .op = "provider.create",
		.summary = "make a key provider",
		.details =
"The native provider needs no key server: its keys are derived from one key\n"
"that this host keeps, sealed to the TPM. Back it up before the first disk is\n"
"made. The first provider created becomes the default one.\n",
		.positionals = {
			{ .name = "type", .value = "native", .kind = CLI_TEXT, .optional = true,
			  .choices = "native", .help = "kind of the key provider" },
			PROVIDER_NAME,
		},
		.options = {
			{ .name = "type", .value = "native", .kind = CLI_TEXT,
			  .choices = "native", .help = "the same as an option" },
			REQUIRE_TPM, ALLOW_UNSEALED,
		},
		.show = show_provider_created,
	},
	{
		.noun = "provider", .verb = "list", .op = "provider.list",
		.summary = "list the key providers",
		.show = show_provider_list,
	},
	{
		.noun = "provider", .verb = "show", .op = "provider.show",
		.summary = "show one key provider",
		.positionals = { PROVIDER_NAME },
		.show = show_provider,
	},
	{
		.noun = "provider", .verb = "default", .op = "provider.default",
		.summary = "use a key provider for new disks",
		.positionals = { PROVIDER_NAME },
		.show = show_provider_default,
	},
	{
		.noun = "provider", .verb = "check", .alias = "status", .op = "provider.check",
		.summary = "try a key provider by wrapping and unwrapping a key",
		.details = "The exit status is 1 when a check fails.\n",
		.verdict = "ok",
		.positionals = { PROVIDER_NAME },
		.show = show_provider_check,
	},
	{
		.noun = "provider", .verb = "delete", .op = "provider.delete",
		.summary = "delete a key provider that no disk uses",
		.positionals = { PROVIDER_NAME },
		.show = show_provider_deleted,
	},
	{
		.noun = "provider", .verb = "backup", .op = "provider.backup",
		.summary = "write the provider's key to an encrypted file (PKCS#12)",
		.details =
"Who has the file and its password can open every disk of this provider; who\n"
"has lost both, and the host, can open none. Keep it on another machine. The\n"
"password is asked for when no option says where it is.\n",
		.secret = CLI_SECRET_NEW,
		.positionals = { PROVIDER_NAME },
		.options = {
			{ .name = "out", .value = "FILE", .kind = CLI_OUT_FILE,
			  .required = true,
			  .help = "the file to be made; it must not exist" },
			CLI_PASSWORD_FILE, CLI_PASSWORD_FD,
		},
		.show = show_provider_backup,
	},
	{
		.noun = "provider", .verb = "restore", .op = "provider.restore",
		.summary = "bring a key provider back from its backup",
		.secret = CLI_SECRET_KNOWN,
		.positionals = {
			{ .name = "file", .value = "FILE", .kind = CLI_IN_FILE,
			  .help = "the backup" },
		},
		.options = {
			{ .name = "dry-run", .kind = CLI_FLAG,
			  .help = "open the backup, say what it holds, change nothing" },
			REQUIRE_TPM, ALLOW_UNSEALED, CLI_PASSWORD_FILE, CLI_PASSWORD_FD,
		},
		.show = show_provider_restore,
	},
	{
		.noun = "disk", .verb = "create", .op = "disk.create",
		.summary = "make an encrypted disk: a new DEK and a LUKS2 header",
		.details =
"What is on DEVICE is lost. The header takes the first 16 MiB of DEVICE, or\n"
"stands in a file of its own (--header).\n",
		.positionals = { DISK_DEVICE },
		.options = {
			{ .name = "vm", .value = "VM", .kind = CLI_TEXT,
			  .required = true, .help = "name of the VM that the disk is for" },
			{ .name = "disk", .value = "LABEL", .kind = CLI_TEXT,
			  .help = "label of the disk; default: last part of DEVICE" },
			{ .name = "provider", .value = "NAME", .kind = CLI_TEXT,
			  .help = "key provider; default: the default provider" },
			{ .name = "sector-size", .value = "BYTES", .kind = CLI_NUMBER,
			  .choices = "512|1024|2048|4096",
			  .help = "512, 1024, 2048 or 4096; default 4096 where it fits" },
			{ .name = "key-bits", .value = "256|512", .kind = CLI_NUMBER,
			  .choices = "256|512",
			  .help = "512: XTS-AES-256, the default; 256: XTS-AES-128" },
			{ .name = "header", .value = "FILE", .kind = CLI_PATH,
			  .help = "make a detached LUKS2 header in FILE" },
			{ .name = "force", .kind = CLI_FLAG,
			  .help = "though DEVICE carries a LUKS header already" },
		},
		.show = show_disk_created,
	},
	{
		.noun = "disk", .verb = "attach", .op = "disk.attach",
		.summary = "attach a disk as /dev/mapper/NAME",
		.positionals = {
			DISK_DEVICE,
			{ .name = "name", .value = "NAME", .kind = CLI_TEXT,
			  .help = "name of the mapped device" },
		},
		.options = {
			HEADER, DISCARD, KEY_LOSS,
			{ .name = "read-only", .kind = CLI_FLAG,
			  .help = "refuse writes" },
		},
		.show = show_disk_attached,
	},
	{
		.noun = "disk", .verb = "detach", .op = "disk.detach",
		.summary = "detach a disk; its DEK is wiped when no other disk uses it",
		.positionals = {
			{ .name = "name", .value = "NAME", .kind = CLI_TEXT,
			  .help = "name of the mapped device" },
		},
		.options = {
			{ .name = "force", .kind = CLI_FLAG,
			  .help = "though it is in use: all its I/O fails from then on" },
		},
		.show = show_disk_detached,
	},
	{
		.noun = "disk", .verb = "lock", .op = "disk.lock",
		.summary = "wipe the DEK from the kernel and keep it away",
		.details =
"The disk's I/O waits, or fails (--key-loss of the attachment). The lock\n"
"outlives a restart of agent and host: the agent refuses requests for the key\n"
"until the disk is unlocked.\n",
		.positionals = { DISK_OBJECT },
		.show = show_disk_locked,
	},
	{
		.noun = "disk", .verb = "unlock", .op = "disk.unlock",
		.summary = "end a lock and load the DEK again",
		.positionals = { DISK_OBJECT },
		.show = show_disk_unlocked,
	},
	{
		.noun = "disk", .verb = "forget", .op = "disk.forget",
		.summary = "take a disk that is gone off the list",
		.details =
"It is refused while the disk is attached, or its header is on its device: then\n"
"the disk may be wanted, and its keys with it.\n",
		.positionals = { DISK_OBJECT },
		.show = show_disk_forgotten,
	},
	{
		.noun = "disk", .verb = "table", .op = "disk.table",
		.summary = "print the disk's line for dmsetup create",
		.positionals = { DISK_DEVICE },
		.options = { HEADER, DISCARD, KEY_LOSS },
		.show = show_disk_table,
	},
	{
		.noun = "disk", .verb = "list", .op = "disk.list",
		.summary = "list the disks that this host knows",
		.show = show_disk_list,
	},
	{
		.noun = "disk", .verb = "show", .op = "disk.show",
		.summary = "show one disk",
		.positionals = { DISK_OBJECT },
		.show = show_disk,
	},
	{
		.noun = "disk", .verb = "export-key", .op = "disk.export-key",
		.summary = "write the DEK to a file, for rescue with cryptsetup",
		.details =
"The file holds the key in clear: who has it can read the disk for ever. With\n"
"it, any Linux opens the disk without vmcrypt:\n"
"  cryptsetup open --key-size 512 --volume-key-file FILE DEVICE NAME\n",
		.positionals = { DISK_DEVICE },
		.options = {
			HEADER,
			{ .name = "out", .value = "FILE", .kind = CLI_OUT_FILE,
			  .required = true,
			  .help = "the file to be made; it must not exist" },
		},
		.show = show_disk_export,
	},
	{
		.noun = "host", .verb = "join", .op = "host.join",
		.summary = "join a manager, which then gives this host its keys",
		.details =
"The token names the manager's authority, so that nobody else can be taken for\n"
"the manager; make one there:\n"
"  vmcryptctl --manager URL host token --out FILE\n",
		.secret = CLI_SECRET_KNOWN,
		.positionals = {
			{ .name = "url", .value = "URL", .kind = CLI_TEXT,
			  .help = "address of the manager: https://NAME[:PORT], port 8443" },
		},
		.options = {
			{ .name = "name", .value = "NAME", .kind = CLI_TEXT,
			  .help = "how the manager lists this host; default: its name" },
			{ .name = "token-file", .value = "FILE", .kind = CLI_SECRET_FILE,
			  .required = true, .help = "read the token from FILE" },
		},
		.show = show_host,
	},
	{
		.noun = "host", .verb = "leave", .op = "host.leave",
		.summary = "forget the manager, its keys and its providers",
		.details =
"Disks that are attached go on. The manager is not told: remove the host there,\n"
"which also ends what its certificate is good for.\n",
		.options = {
			{ .name = "force", .kind = CLI_FLAG,
			  .help = "though disks could not be attached here any more" },
		},
		.show = show_host_left,
	},
	{
		.noun = "host", .verb = "show", .op = "host.show",
		.summary = "which manager this host has joined, and how it stands",
		.show = show_host,
	},
	{
		.noun = "key", .verb = "list", .op = "key.list",
		.summary = "list the DEKs: state in the kernel, who uses them",
		.show = show_key_list,
	},
	{
		.noun = "event", .verb = "list", .op = "event.list",
		.summary = "list the events: who did what with which key",
		.details = "With --json, one event is one line.\n",
		.options = {
			{ .name = "follow", .kind = CLI_FLAG,
			  .help = "go on with the events that come" },
			{ .name = "limit", .value = "N", .kind = CLI_NUMBER,
			  .help = "the newest N only" },
		},
		.show = show_event_end,
		.show_event = show_event,
	},
};

const size_t cli_n_commands = ARRAY_SIZE(cli_commands);
