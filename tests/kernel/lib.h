/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the test programs share. Functions return 0 or a negative errno unless
 * they say otherwise; the programs assert on it.
 */
#ifndef VT_LIB_H
#define VT_LIB_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi.h"

/* the harness's half a minute is short for a machine that is emulated */
#ifdef TEST_TIMEOUT_DEFAULT
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	90
#endif

#define KIB		1024ull
#define MIB		(1024ull * KIB)
#define GIB		(1024ull * MIB)
#define TIB		(1024ull * GIB)
#define SECTOR		512ull

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

/* ---- keys (lib_key.c) ---- */

/**
 * struct dek - a data encryption key of a test
 * @key:  the key, data half first
 * @size: bytes, 32 or 64
 * @uuid: computed from it
 * @text: the UUID as written in a table line
 */
struct dek {
	uint8_t key[KEY_MAX];
	size_t size;
	uint8_t uuid[UUID_LEN];
	char text[37];
};

void dek_from(struct dek *d, const uint8_t *key, size_t size);
void dek_random(struct dek *d, size_t size);
/* 00 01 02 …, the key of the design's examples */
void dek_counting(struct dek *d, size_t size);
void dek_uuid(const uint8_t *key, size_t size, uint8_t uuid[UUID_LEN], char text[37]);
void dek_hex(const struct dek *d, char hex[2 * KEY_MAX + 1]);

/**
 * seal() - close a key as KEY_SET wants it
 * @kernel:  public key from KEY_PREPARE
 * @mine:    the ephemeral public key to send along
 * @sealed:  size + TAG_LEN bytes
 */
int seal(const uint8_t kernel[PUBLIC_LEN], const uint8_t uuid[UUID_LEN], uint32_t bits,
	 const uint8_t *key, size_t size, uint8_t mine[PUBLIC_LEN], uint8_t *sealed);

/**
 * xts() - AES-XTS of OpenSSL over consecutive sectors
 * @iv: plain64 IV of the first sector; grows by @step a sector
 */
int xts(const struct dek *d, bool encrypt, uint64_t iv, uint64_t step, size_t sector_size,
	const void *in, void *out, size_t size);
void random_bytes(void *p, size_t size);

/* ---- netlink (lib_nl.c) ---- */

struct nl {
	int fd;
	uint32_t portid;
	uint32_t seq;
	uint16_t family;
	uint32_t version;
	uint32_t requests;	/* multicast group numbers */
	uint32_t events;
};

struct msg {
	_Alignas(8) uint8_t data[8192];
	size_t size;
};

/**
 * struct answer - what came back for one request, or one notification
 * @error:    0 or negative errno of the acknowledgement, or of sending
 * @unsent:   of sending
 * @text:     extack text, empty when there is none
 * @offset:   extack: where in the request the bad attribute begins; 0 if unset
 * @missing:  extack: type of the missing attribute; 0 if unset
 * @messages: data messages that came before the acknowledgement
 * @interrupted: one of them carried NLM_F_DUMP_INTR
 * @cmd:      command of the last data message, its attributes in @attr
 */
struct answer {
	int error;
	bool unsent;
	char text[256];
	uint32_t offset;
	uint32_t missing;
	unsigned int messages;
	bool interrupted;
	uint8_t cmd;
	struct {
		const uint8_t *data;
		size_t size;
	} attr[A_MAX + 1];
	unsigned int strange;	/* attributes over A_MAX, or doubled */
	_Alignas(8) uint8_t data[16384];
	size_t size;
};

int nl_open(struct nl *nl);
void nl_close(struct nl *nl);
int nl_join(struct nl *nl, uint32_t group);
void msg_begin(const struct nl *nl, struct msg *m, uint8_t cmd, uint16_t flags);
/* returns the offset of the attribute in the message */
size_t msg_put(struct msg *m, uint16_t type, const void *data, size_t size);
size_t msg_u32(struct msg *m, uint16_t type, uint32_t v);
int nl_send(struct nl *nl, struct msg *m);
/* sends, reads up to the acknowledgement; returns a->error */
int nl_call(struct nl *nl, struct msg *m, struct answer *a);
/* dump: @each is called with every entry */
int nl_dump(struct nl *nl, struct msg *m, struct answer *a,
	    void (*each)(const struct answer *a, void *arg), void *arg);
/* waits for one notification: 0, or -ETIME */
int nl_event(struct nl *nl, int timeout_ms, struct answer *a);
/* waits for a notification of @cmd about @uuid with @state (-1: any), skipping others */
int nl_expect(struct nl *nl, uint8_t cmd, const uint8_t *uuid, int state, int timeout_ms,
	      struct answer *a);
bool has_attr(const struct answer *a, int type, size_t size);
uint32_t get_u32(const struct answer *a, int type);
uint64_t get_u64(const struct answer *a, int type);

int key_prepare(struct nl *nl, uint32_t *id, uint8_t public[PUBLIC_LEN]);
void key_set_message(const struct nl *nl, struct msg *m, const uint8_t *uuid, uint32_t bits, uint32_t id,
		     const uint8_t *public, const uint8_t *sealed, size_t sealed_size);
int key_set(struct nl *nl, const struct dek *d);
int key_set_as(struct nl *nl, const struct dek *d, const uint8_t uuid[UUID_LEN]);
int key_wipe(struct nl *nl, const uint8_t uuid[UUID_LEN], uint32_t flags);
/* how many constructors' questions wait for an agent, the last one in @a; or a negative errno */
int request_count(struct nl *nl, struct answer *a);
int key_reject(struct nl *nl, const uint8_t uuid[UUID_LEN], uint32_t reason);
/* state of a key, KEY_ABSENT for ENOENT; or a negative errno */
int key_state(struct nl *nl, const uint8_t uuid[UUID_LEN]);
int key_targets(struct nl *nl, const uint8_t uuid[UUID_LEN]);
int key_wait(struct nl *nl, const uint8_t uuid[UUID_LEN], int state, int timeout_ms);
int key_count(struct nl *nl);
int disk_get(struct nl *nl, const char *name, struct answer *a);

/* ---- device-mapper (lib_dm.c) ---- */

#define DM_TEST_PREFIX	"vt-"

/* flags of dm_load and dm_suspend */
#define DMF_READONLY	1u
#define DMF_NOFLUSH	2u
#define DMF_NOLOCKFS	4u

int dm_new(const char *name, unsigned int *minor);
/* @table: lines "<start> <length> <target> <parameters>" */
int dm_load(const char *name, const char *table, unsigned int flags);
int dm_resume(const char *name);
int dm_suspend(const char *name, unsigned int flags);
int dm_remove(const char *name);
int dm_rename(const char *name, const char *new_name);
/* dm_new + dm_load + dm_resume; removes it again when one of them fails */
int dm_make(const char *name, const char *table, unsigned int flags, unsigned int *minor);
/* dm_load + dm_suspend + dm_resume */
int dm_swap(const char *name, const char *table, unsigned int flags);
/* the live table's parameters, one line a target; @inactive: the loaded one's */
int dm_table(const char *name, bool inactive, char *buf, size_t size);
int dm_status(const char *name, char *buf, size_t size);
int dm_open(unsigned int minor, int flags);
/* every device of the tests goes, whatever holds it up */
void dm_sweep(void);

struct status {
	char state[16];
	unsigned long long inflight, queued, reads, writes, errors;
};
int dm_counters(const char *name, struct status *s);

/**
 * struct line - the parts of a vmcrypt table line
 */
struct line {
	uint64_t start, length, iv_offset, offset;	/* sectors of 512 */
	const char *uuid;
	const char *device;
	const char *options;				/* with their count, or "" */
};
void line_print(const struct line *l, char *buf, size_t size);

/* ---- devices below (lib_dev.c) ---- */

/**
 * struct disk - a device to encrypt
 * @node: /dev/…
 * @raw:  descriptor of what is behind it (a memfd), or of the device
 * @size: bytes
 */
struct disk {
	char node[64];
	char name[32];
	int raw;
	int fd;
	uint64_t size;
	bool loop;
};

#define LOOP_RO		1u
#define LOOP_DIO	2u
int loop_new(struct disk *d, uint64_t size, unsigned int block_size, unsigned int flags);
/* over another device */
int loop_over(struct disk *d, const char *node, uint64_t size, unsigned int flags);
/* @attributes: "name=value name=value"; size is added */
int nullb_new(struct disk *d, const char *name, uint64_t size, const char *attributes);
void disk_free(struct disk *d);
void nullb_sweep(void);

/* ---- the usual disk (lib_disk.c) ---- */

/**
 * struct vdisk - a vmcrypt target over the whole of one device, its key loaded
 * @options: with their count, as in the table line; or ""
 * @fd:      O_RDWR | O_DIRECT
 */
struct vdisk {
	struct disk below;
	struct dek dek;
	char name[32];
	const char *options;
	unsigned int minor;
	int fd;
};

int vdisk_new(struct vdisk *v, struct nl *nl, const char *name, uint64_t size, size_t key_size,
	      const char *options);
/* the same over v->below, which the caller has made */
int vdisk_over(struct vdisk *v, struct nl *nl, const char *name, size_t key_size, const char *options);
void vdisk_line(const struct vdisk *v, char *buf, size_t size);
void vdisk_free(struct vdisk *v);

/* ---- I/O (lib_io.c) ---- */

void *buffer(size_t size);
void fill(void *p, size_t size, uint64_t seed);
int write_all(int fd, const void *p, size_t size, uint64_t offset);
int read_all(int fd, void *p, size_t size, uint64_t offset);
/* bits set among all bits, in per mille */
unsigned int ones_per_mille(const void *p, size_t size);

/**
 * struct ring - a small io_uring
 */
struct ring {
	int fd;
	unsigned int entries;
	unsigned int *sq_head, *sq_tail, *sq_mask, *sq_array;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	void *map;
	size_t map_size, sqes_size;
	bool poll;
};

int ring_open(struct ring *r, unsigned int entries, bool poll);
void ring_close(struct ring *r);
int ring_rw(struct ring *r, bool write, int fd, void *p, size_t size, uint64_t offset, int rw_flags,
	    uint64_t tag);
int ring_rwv(struct ring *r, bool write, int fd, const struct iovec *iov, unsigned int n, uint64_t offset,
	     uint64_t tag);
/* waits for one completion: 0, or -ETIME; its tag and result */
int ring_wait(struct ring *r, int timeout_ms, uint64_t *tag, int *result);

/* ---- the system (lib_sys.c) ---- */

/* every fixture begins with it: the module is there, nothing is left over */
int test_begin(struct nl *nl);
void test_end(struct nl *nl);

int module_load(const char *parameters);
int module_unload(void);
/* unload, load with parameters; NULL for none */
int module_reload(const char *parameters);
bool module_loaded(void);

int kmsg_open(void);
/* true when a line since kmsg_open() holds @text */
bool kmsg_find(int fd, const char *text);
/* all lines since kmsg_open() or the last call, NUL-terminated */
size_t kmsg_read(int fd, char *buf, size_t size);

int file_read(const char *path, char *buf, size_t size);
int file_write(const char *path, const char *text);
int sysfs_u64(const char *path, uint64_t *v);
int queue_limit(unsigned int dm_minor, const char *name, uint64_t *v);

/* ---- the module's tracepoints (lib_trace.c) ---- */

/* begins to count an event of it, from 0 */
int trace_begin(const char *event);
void trace_end(const char *event);
/* how often it came, on all CPUs, seen or overwritten; 0 if that cannot be read */
uint64_t trace_times(const char *event);

/* how many times longer all may take here */
unsigned int patience(void);
/* so long a wait of @timeout_ms is here: one of seconds, for what has to come, is
 * longer on a slow machine; a short one, for what must not come, is as it is */
int patient_ms(int timeout_ms);
void sleep_ms(unsigned int ms);
uint64_t now_ms(void);
/* forks, runs @fn, returns what it returned: 0 or a negative errno */
int in_child(int (*fn)(void *arg), void *arg);
/* exit status of a command, 127 when it is not there */
int run(const char *const argv[]);

/* a constructor that waits is a process: create or load in a child */
pid_t dm_make_async(const char *name, const char *table);
/* waits for the child: what dm_make() returned there; -ETIME, then it is left running */
int async_wait(pid_t pid, int timeout_ms);

#endif
