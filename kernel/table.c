// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table line: dm-crypt's grammar, the DEK's UUID in the place of the key.
 *
 *   aes-xts-plain64 <dek-uuid> <iv_offset> <device> <offset> [<#opts> <opt>...]
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "table.h"

#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "dek.h"

#define CIPHER			"aes-xts-plain64"
#define NR_FIXED_ARGS		5
#define GRAMMAR \
	"aes-xts-plain64 <dek-uuid> <iv_offset> <device> <offset> [<#opts> <opt>...]"
#define OPTIONS \
	"sector_size:<512|1024|2048|4096>, iv_large_sectors, allow_discards, key_loss:<queue|error>"

#define NUMBER_LEN_MAX		20	/* digits of 2^64 */

/* IEEE 1619: at most 2^44 blocks of 16 bytes under one key, 2^36 advised. */
#define SECTORS_PER_DEK_MAX	(1ULL << 39)

#define OPT_ALLOW_DISCARDS	"allow_discards"
#define OPT_IV_LARGE_SECTORS	"iv_large_sectors"

enum option_kind {
	KIND_SECTOR_SIZE,
	KIND_IV_LARGE_SECTORS,
	KIND_ALLOW_DISCARDS,
	KIND_KEY_LOSS,
	NR_KINDS
};

/* Every option there is: the word, what it belongs to, its value. */
static const struct option {
	const char *word;
	enum option_kind kind;
	u32 value;
} options[] = {
	{ "sector_size:512",	KIND_SECTOR_SIZE,		512 },
	{ "sector_size:1024",	KIND_SECTOR_SIZE,		1024 },
	{ "sector_size:2048",	KIND_SECTOR_SIZE,		2048 },
	{ "sector_size:4096",	KIND_SECTOR_SIZE,		4096 },
	{ OPT_IV_LARGE_SECTORS,	KIND_IV_LARGE_SECTORS,	true },
	{ OPT_ALLOW_DISCARDS,	KIND_ALLOW_DISCARDS,		true },
	{ "key_loss:queue",	KIND_KEY_LOSS,		false },
	{ "key_loss:error",	KIND_KEY_LOSS,		true },
};

/* Digits only: no sign, no white space, nothing after it. */
static int parse_number(const char *s, u64 *ret)
{
	if (!isdigit(*s) || strlen(s) > NUMBER_LEN_MAX || s[strlen(s) - 1] == '\n')
		return -EINVAL;
	return kstrtoull(s, 10, ret);
}

static int parse_dek(const char *s, uuid_t *ret)
{
	if (strlen(s) != UUID_STRING_LEN || uuid_parse(s, ret))
		return -EINVAL;
	return vmcrypt_dek_well_formed(ret) ? 0 : -EINVAL;
}

static const struct option *find_option(const char *word)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(options); i++)
		if (!strcmp(word, options[i].word))
			return &options[i];
	return NULL;
}

static char *parse_options(unsigned int argc, char **argv, struct vmcrypt_table *table)
{
	u32 values[NR_KINDS] = { [KIND_SECTOR_SIZE] = 512 };
	const struct option *option;
	bool seen[NR_KINDS] = {};
	u64 count;

	if (argc) {
		if (parse_number(argv[0], &count))
			return "Invalid number of options";
		argc--;
		argv++;
		if (count > argc)
			return "Fewer options than the number says";
		if (count < argc)
			return "More options than the number says";
	}

	for (; argc; argc--, argv++) {
		option = find_option(argv[0]);
		if (!option)
			return "Unknown option or value: " OPTIONS;
		if (seen[option->kind])
			return "Option given twice";
		seen[option->kind] = true;
		values[option->kind] = option->value;
	}

	table->sector_size = values[KIND_SECTOR_SIZE];
	table->iv_large_sectors = values[KIND_IV_LARGE_SECTORS];
	table->allow_discards = values[KIND_ALLOW_DISCARDS];
	table->fail_without_key = values[KIND_KEY_LOSS];
	return NULL;
}

static char *check_numbers(const struct dm_target *ti, const struct vmcrypt_table *table)
{
	u64 mask = (table->sector_size >> SECTOR_SHIFT) - 1;

	if (table->iv_offset & mask)
		return "iv_offset is not a multiple of the sector size";
	if (table->offset & mask)
		return "Offset is not a multiple of the sector size";
	if (ti->len & mask)
		return "Length is not a multiple of the sector size";
	if (ti->begin & mask)
		return "Start is not a multiple of the sector size";
	if (ti->len > SECTORS_PER_DEK_MAX)
		return "Longer than one DEK may cover (2^44 blocks, 256 TiB)";
	if (table->iv_offset + ti->len - 1 < table->iv_offset)
		return "iv_offset plus length overflows";
	return NULL;
}

static char *parse(struct dm_target *ti, unsigned int argc, char **argv,
		   struct vmcrypt_table *ret)
{
	char *error;
	u64 offset;

	if (argc < NR_FIXED_ARGS)
		return "Not enough arguments: " GRAMMAR;
	if (strcmp(argv[0], CIPHER))
		return "Unknown cipher: only aes-xts-plain64 is known";
	if (parse_dek(argv[1], &ret->dek))
		return "Invalid DEK UUID (version 8, RFC 9562)";
	if (parse_number(argv[2], &ret->iv_offset))
		return "Invalid iv_offset";
	if (parse_number(argv[4], &offset) || offset != (sector_t)offset)
		return "Invalid offset";
	ret->device = argv[3];
	ret->offset = offset;

	error = parse_options(argc - NR_FIXED_ARGS, argv + NR_FIXED_ARGS, ret);
	return error ? error : check_numbers(ti, ret);
}

/**
 * vmcrypt_table_parse() - read a table line
 * @ti: the target; ti->error is set on failure
 * @argc: arguments
 * @argv: arguments; @ret points into them
 * @ret: filled on success
 *
 * Return: 0 or -EINVAL.
 */
int vmcrypt_table_parse(struct dm_target *ti, unsigned int argc, char **argv,
			struct vmcrypt_table *ret)
{
	struct vmcrypt_table table = {};
	char *error = parse(ti, argc, argv, &table);

	if (error) {
		ti->error = error;
		return -EINVAL;
	}
	*ret = table;
	return 0;
}

/**
 * vmcrypt_table_print() - write a table line
 * @table: what was parsed; @table->device is not looked at
 * @device: the device below, as MAJ:MIN
 * @result: where to
 * @maxlen: bytes in @result
 *
 * Return: bytes written, @maxlen when it did not fit.
 */
unsigned int vmcrypt_table_print(const struct vmcrypt_table *table, const char *device,
				 char *result, unsigned int maxlen)
{
	unsigned int nr, sz = 0;

	DMEMIT(CIPHER " %pUb %llu %s %llu", &table->dek, table->iv_offset, device,
	       (unsigned long long)table->offset);

	nr = (table->sector_size != 512) + table->iv_large_sectors + table->allow_discards +
	     table->fail_without_key;
	if (!nr)
		return sz;
	DMEMIT(" %u", nr);
	if (table->sector_size != 512)
		DMEMIT(" sector_size:%u", table->sector_size);
	if (table->iv_large_sectors)
		DMEMIT(" " OPT_IV_LARGE_SECTORS);
	if (table->allow_discards)
		DMEMIT(" " OPT_ALLOW_DISCARDS);
	if (table->fail_without_key)
		DMEMIT(" key_loss:error");
	return sz;
}

/**
 * vmcrypt_table_print_ima() - describe a table for the integrity measurement log
 * @table: what was parsed; @table->device is not looked at
 * @device: the device below, as MAJ:MIN
 * @result: where to
 * @maxlen: bytes in @result
 *
 * Return: bytes written, @maxlen when it did not fit.
 */
unsigned int vmcrypt_table_print_ima(const struct vmcrypt_table *table, const char *device,
				     char *result, unsigned int maxlen)
{
	unsigned int sz = 0;

	DMEMIT(",cipher=" CIPHER ",dek=%pUb,iv_offset=%llu,device=%s,offset=%llu",
	       &table->dek, table->iv_offset, device, (unsigned long long)table->offset);
	DMEMIT(",sector_size=%u,iv_large_sectors=%c,allow_discards=%c,key_loss=%s;",
	       table->sector_size, table->iv_large_sectors ? 'y' : 'n',
	       table->allow_discards ? 'y' : 'n', table->fail_without_key ? "error" : "queue");
	return sz;
}
