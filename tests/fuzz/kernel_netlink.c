// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A structure-aware fuzzer for the netlink family, to run inside a kernel that
 * looks: kernel_netlink COUNT [SEED]. Each message begins as a good one of some
 * command and is then spoilt. Every message must be answered, with an errno that
 * the interface knows; KEY_SET must never take a key that was spoilt; what is
 * loaded beforehand must be loaded, and its disk readable, at the end.
 *
 * Each processor has a process that sends its share, all about the same keys.
 */
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "lib.h"

#include "kernel_random.h"

#define KEYS	4
#define ATTRS	12
#define MAX_PROCESSES	8

/**
 * struct part - one attribute, before it is spoilt
 * @type: with flags
 * @size: of @data
 * @claim: what nla_len says, over the header
 */
struct part {
	uint16_t type;
	uint16_t size;
	uint16_t claim;
	uint8_t data[256];
};

/**
 * struct shape - one message, before it is written
 * @good: nothing was spoilt
 */
struct shape {
	uint8_t cmd;
	uint8_t version;
	uint16_t flags;
	unsigned int nr;
	struct part part[ATTRS];
	int extra;
	bool good;
};

/**
 * struct tally - what a process has sent; in memory that all of them share
 * @answered: messages by errno
 * @good: not spoilt
 * @taken: KEY_SET that loaded a key
 */
struct tally {
	unsigned long answered[256];
	unsigned long good;
	unsigned long taken;
};

/**
 * struct fuzz - the state of a process
 * @key: what KEY_SET loads
 * @seal: prepared and not used yet: their number is bounded, so each is kept
 *	until a message has used it up
 */
struct fuzz {
	struct nl nl;
	struct dek key[KEYS];
	struct {
		bool there;
		uint32_t id;
		uint8_t public[PUBLIC_LEN];
	} seal;
	struct tally *tally;
};

static const int known[] = {
	0, EINVAL, ERANGE, EOPNOTSUPP, ENOENT, EBUSY, EKEYREJECTED, EEXIST, EAGAIN, ENOSPC,
	ENOMEM, ENOKEY, ENODEV, EBADMSG, ETIME, EPERM, EINTR, ENOBUFS,
};

static void put(struct shape *s, uint16_t type, const void *data, size_t size)
{
	struct part *p = &s->part[s->nr++];

	p->type = type;
	p->size = p->claim = (uint16_t)size;
	memcpy(p->data, data, size);
}

static void put_u32(struct shape *s, uint16_t type, uint32_t v)
{
	put(s, type, &v, sizeof(v));
}

static int good_key_set(struct fuzz *f, struct shape *s, const struct dek *key)
{
	uint8_t mine[PUBLIC_LEN], sealed[KEY_MAX + TAG_LEN];
	const uint32_t bits = (uint32_t)key->size * 8;
	int r = f->seal.there ? 0 : key_prepare(&f->nl, &f->seal.id, f->seal.public);

	f->seal.there = !r;
	if (!r)
		r = seal(f->seal.public, key->uuid, bits, key->key, key->size, mine, sealed);
	if (r)
		return r;
	put(s, A_DEK, key->uuid, UUID_LEN);
	put_u32(s, A_KEY_BITS, bits);
	put_u32(s, A_SEAL_ID, f->seal.id);
	put(s, A_PUBLIC_KEY, mine, sizeof(mine));
	put(s, A_SEALED_KEY, sealed, key->size + TAG_LEN);
	return 0;
}

/* one good message of any command; key 0 belongs to the disk and is never wiped */
static int good_shape(struct fuzz *f, struct rnd *r, struct shape *s)
{
	const struct dek *key = &f->key[1 + rnd_below(r, KEYS - 1)];

	memset(s, 0, sizeof(*s));
	s->good = true;
	s->version = FAMILY_VERSION;
	s->cmd = (uint8_t)(1 + rnd_below(r, CMD_DISK_CHANGED + 1));
	if (s->cmd == CMD_KEY_PREPARE && !rnd_one_in(r, 16))
		s->cmd = CMD_KEY_SET;
	switch (s->cmd) {
	case CMD_KEY_SET:
		return good_key_set(f, s, key);
	case CMD_KEY_REJECT:
		put(s, A_DEK, key->uuid, UUID_LEN);
		put_u32(s, A_REASON, 1 + rnd_below(r, REASON_INTERNAL));
		break;
	case CMD_KEY_WIPE:
		put(s, A_DEK, key->uuid, UUID_LEN);
		if (rnd_one_in(r, 2))
			put_u32(s, A_FLAGS, rnd_below(r, 2));
		break;
	case CMD_KEY_GET:
		if (rnd_one_in(r, 2))
			s->flags = NLM_F_DUMP;
		else
			put(s, A_DEK, key->uuid, UUID_LEN);
		break;
	case CMD_DISK_GET:
		if (rnd_one_in(r, 2))
			s->flags = NLM_F_DUMP;
		else
			put(s, A_NAME, "vt-fuzz", sizeof("vt-fuzz"));
		break;
	case CMD_REQUEST_GET:
		s->flags = NLM_F_DUMP;
		break;
	default:
		break;
	}
	return 0;
}

static void spoil_part(struct rnd *r, struct part *p)
{
	switch (rnd_below(r, 6)) {
	case 0:
		p->type = (uint16_t)rnd_number(r);
		break;
	case 1:
		p->type ^= rnd_one_in(r, 2) ? NLA_F_NESTED : NLA_F_NET_BYTEORDER;
		break;
	case 2:
		p->size = p->claim = (uint16_t)rnd_below(r, sizeof(p->data));
		break;
	case 3:
		p->claim = (uint16_t)rnd_number(r);
		break;
	case 4:
		if (p->size) {
			p->data[rnd_below(r, p->size)] ^= (uint8_t)(1u << rnd_below(r, 8));
			break;
		}
		/* fall through */
	default: {
		uint64_t v = rnd_number(r);

		memcpy(p->data, &v, sizeof(v));
		break;
	}
	}
}

static void spoil(struct rnd *r, struct shape *s)
{
	s->good = false;
	switch (rnd_below(r, 9)) {
	case 0:
		s->cmd = (uint8_t)rnd_number(r);
		break;
	case 1:
		s->version = (uint8_t)rnd_number(r);
		break;
	case 2:
		s->flags ^= (uint16_t)(1u << (8 + rnd_below(r, 4)));
		break;
	case 3:
		s->extra = (int)rnd_below(r, 64) - 32;
		break;
	case 4:
		if (s->nr) {
			s->nr--;
			s->part[rnd_below(r, s->nr + 1)] = s->part[s->nr];
		}
		break;
	case 5:
		if (s->nr && s->nr < ATTRS) {
			s->part[s->nr] = s->part[rnd_below(r, s->nr)];
			s->nr++;
		}
		break;
	case 6:
		if (s->nr < ATTRS)
			put_u32(s, (uint16_t)(1 + rnd_below(r, A_MAX + 3)),
				(uint32_t)rnd_number(r));
		break;
	default:
		if (s->nr)
			spoil_part(r, &s->part[rnd_below(r, s->nr)]);
		break;
	}
}

static void write_message(const struct fuzz *f, const struct shape *s, struct msg *m)
{
	const int least = NLMSG_HDRLEN + GENL_HDRLEN;
	int size;

	msg_begin(&f->nl, m, s->cmd, s->flags);
	((struct genlmsghdr *)NLMSG_DATA((struct nlmsghdr *)m->data))->version = s->version;
	for (unsigned int i = 0; i < s->nr; i++) {
		const size_t at = msg_put(m, s->part[i].type, s->part[i].data, s->part[i].size);

		((struct nlattr *)(m->data + at))->nla_len =
			(uint16_t)(sizeof(struct nlattr) + s->part[i].claim);
	}
	/* One that has lost all its attributes may lose no more than that */
	size = (int)m->size + s->extra;
	m->size = (size_t)(size > least ? size : least);
}

static bool is_known(int error)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (error == -known[i])
			return true;
	return false;
}

/* the key in a spoilt KEY_SET that was taken must be the one its UUID names */
static bool taken_rightly(const struct fuzz *f, const struct shape *s)
{
	for (unsigned int i = 0; i < s->nr; i++)
		for (unsigned int k = 0; k < KEYS; k++)
			if ((s->part[i].type & NLA_TYPE_MASK) == A_DEK &&
			    !memcmp(s->part[i].data, f->key[k].uuid, UUID_LEN))
				return true;
	return false;
}

/* a KEY_SET is passed over while no key can be prepared */
static int one_case(struct fuzz *f, uint64_t seed, bool *ret_sent)
{
	static struct answer a;
	struct rnd r = { seed };
	struct shape s;
	struct msg m;
	int error = good_shape(f, &r, &s);

	if (error)
		return error == -EAGAIN || error == -ENOSPC || error == -EBUSY ? 0 : error;
	for (unsigned int n = rnd_below(&r, 4); n; n--)
		spoil(&r, &s);
	write_message(f, &s, &m);
	error = nl_call(&f->nl, &m, &a);
	if (!is_known(error) || a.unsent || a.strange) {
		printf("# seed %#llx: command %u, %zu bytes, %s %d, %u strange attributes: %s\n",
		       (unsigned long long)seed, s.cmd, m.size, a.unsent ? "not sent:" : "answered",
		       error, a.strange, a.text);
		return -EPROTO;
	}
	if (s.cmd == CMD_KEY_SET && error != -EINVAL && error != -ERANGE && error != -EOPNOTSUPP)
		f->seal.there = false;
	*ret_sent = true;
	f->tally->answered[-error & 255]++;
	f->tally->good += s.good;
	if (!error && s.cmd == CMD_KEY_SET) {
		f->tally->taken++;
		if (!taken_rightly(f, &s)) {
			printf("# seed %#llx: a key was taken that nobody has\n",
			       (unsigned long long)seed);
			return -EPROTO;
		}
	}
	return 0;
}

/* until @count were sent; every @step-th seed is this process's */
static int run_cases(struct fuzz *f, uint64_t first, unsigned int step, unsigned long count)
{
	unsigned long sent = 0;

	for (uint64_t seed = first; sent < count; seed += step) {
		bool was_sent = false;
		int r = one_case(f, seed, &was_sent);

		if (r) {
			printf("# after %lu, seed %#llx: %s\n", sent, (unsigned long long)seed,
			       strerror(-r));
			return r;
		}
		sent += was_sent;
	}
	return 0;
}

/* the disk that stood there all the time has kept its key and its data */
static int disk_is_well(struct vdisk *v, struct nl *nl, const uint8_t *written, size_t size)
{
	uint8_t *q = buffer(size);
	int r = read_all(v->fd, q, size, 0);

	if (!r && memcmp(q, written, size))
		r = -EILSEQ;
	if (!r && key_state(nl, v->dek.uuid) != KEY_LOADED)
		r = -ENOKEY;
	free(q);
	return r;
}

struct share {
	struct fuzz *f;
	uint64_t first;
	unsigned int step;
	unsigned long count;
};

static int run_share(void *arg)
{
	const struct share *share = arg;
	/* a socket of its own */
	int r = nl_open(&share->f->nl);

	return r ? r : run_cases(share->f, share->first, share->step, share->count);
}

/* every process has its tally in @tallies, one for each of @nr */
static int run_shares(struct fuzz *f, struct tally *tallies, unsigned int nr, uint64_t first,
		      unsigned long count)
{
	pid_t pid[MAX_PROCESSES];
	int r = 0;

	for (unsigned int i = 0; i < nr; i++) {
		struct share share = {
			.f = f,
			.first = first + i,
			.step = nr,
			.count = count / nr + (i < count % nr),
		};

		f->tally = &tallies[i];
		pid[i] = fork();
		if (!pid[i])
			_exit(run_share(&share) ? 1 : 0);
		if (pid[i] < 0)
			r = -errno;
	}
	for (unsigned int i = 0; i < nr; i++) {
		int status;

		if (pid[i] > 0 && (waitpid(pid[i], &status, 0) < 0 || status))
			r = -EPROTO;
	}
	return r;
}

/* tells of all the tallies; true when the run meant something */
static bool tell(const struct tally *tallies, unsigned int nr, unsigned long count)
{
	struct tally sum = { 0 };
	unsigned long sent = 0;

	for (unsigned int i = 0; i < nr; i++) {
		for (unsigned int e = 0; e < ARRAY_SIZE(sum.answered); e++)
			sum.answered[e] += tallies[i].answered[e];
		sum.good += tallies[i].good;
		sum.taken += tallies[i].taken;
	}
	for (unsigned int e = 0; e < ARRAY_SIZE(sum.answered); e++) {
		sent += sum.answered[e];
		if (sum.answered[e])
			printf("# %lu answered %s\n", sum.answered[e], e ? strerror((int)e) : "0");
	}
	printf("# %lu of %lu sent, by %u processes, %lu unspoilt, %lu keys taken\n", sent, count, nr,
	       sum.good, sum.taken);
	return sum.taken && sent >= count;
}

int main(int argc, char **argv)
{
	const unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 200000;
	const uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) << 24;
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	const unsigned int nr = cpus < 1 ? 1 : cpus > MAX_PROCESSES ? MAX_PROCESSES : (unsigned int)cpus;
	static struct fuzz f;
	const size_t size = 256 * KIB;
	struct tally *tallies = mmap(NULL, nr * sizeof(*tallies), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t *p = buffer(size);
	struct vdisk v;
	int r = tallies == MAP_FAILED ? -errno : test_begin(&f.nl);

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned int i = 0; i < KEYS; i++)
		dek_random(&f.key[i], i & 1 ? 32 : 64);
	fill(p, size, 1);
	if (!r)
		r = vdisk_new(&v, &f.nl, "fuzz", MIB, 64, "");
	if (!r)
		r = write_all(v.fd, p, size, 0);
	if (r) {
		printf("1..1\nnot ok 1 set-up: %s\n", strerror(-r));
		return 1;
	}
	printf("1..2\n# %lu messages from seed %#llx\n", count, (unsigned long long)first);
	fflush(stdout);
	r = run_shares(&f, tallies, nr, first, count);
	if (!tell(tallies, nr, count) && !r)
		r = -ENODATA;
	printf("%s 1 %lu messages, each answered as it should\n", r ? "not ok" : "ok", count);
	r = disk_is_well(&v, &f.nl, p, size);
	printf("%s 2 the disk kept its key and its data\n", r ? "not ok" : "ok");
	vdisk_free(&v);
	test_end(&f.nl);
	return r ? 1 : 0;
}
