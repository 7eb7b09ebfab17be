// SPDX-License-Identifier: LGPL-2.1-or-later
/* Buffers, whole reads and writes, and a small io_uring. */
#include <linux/io_uring.h>
#include <linux/time_types.h>

#include "lib.h"

void *buffer(size_t size)
{
	void *p = NULL;

	if (posix_memalign(&p, 4096, size ? size : 1))
		abort();
	memset(p, 0, size);
	return p;
}

void fill(void *p, size_t size, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + 0x1234567890abcdefull;
	uint8_t *b = p;

	for (size_t i = 0; i < size; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(b + i, &x, size - i < 8 ? size - i : 8);
	}
}

int write_all(int fd, const void *p, size_t size, uint64_t offset)
{
	const uint8_t *b = p;

	while (size) {
		ssize_t n = pwrite(fd, b, size, (off_t)offset);

		if (n <= 0)
			return n ? -errno : -EIO;
		b += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int read_all(int fd, void *p, size_t size, uint64_t offset)
{
	uint8_t *b = p;

	while (size) {
		ssize_t n = pread(fd, b, size, (off_t)offset);

		if (n <= 0)
			return n ? -errno : -ENODATA;
		b += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

unsigned int ones_per_mille(const void *p, size_t size)
{
	const uint8_t *b = p;
	uint64_t ones = 0;

	for (size_t i = 0; i < size; i++)
		ones += (uint64_t)__builtin_popcount(b[i]);
	return (unsigned int)(ones * 1000 / (size * 8));
}

static int ring_map(struct ring *r, const struct io_uring_params *p)
{
	const size_t sq = p->sq_off.array + p->sq_entries * sizeof(unsigned int);
	const size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	uint8_t *m;

	r->map_size = sq > cq ? sq : cq;
	r->sqes_size = p->sq_entries * sizeof(struct io_uring_sqe);
	m = mmap(NULL, r->map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQ_RING);
	if (m == MAP_FAILED)
		return -errno;
	r->map = m;
	r->sqes = mmap(NULL, r->sqes_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd,
		       IORING_OFF_SQES);
	if (r->sqes == MAP_FAILED)
		return -errno;
	r->sq_head = (void *)(m + p->sq_off.head);
	r->sq_tail = (void *)(m + p->sq_off.tail);
	r->sq_mask = (void *)(m + p->sq_off.ring_mask);
	r->sq_array = (void *)(m + p->sq_off.array);
	r->cq_head = (void *)(m + p->cq_off.head);
	r->cq_tail = (void *)(m + p->cq_off.tail);
	r->cq_mask = (void *)(m + p->cq_off.ring_mask);
	r->cqes = (void *)(m + p->cq_off.cqes);
	return 0;
}

int ring_open(struct ring *r, unsigned int entries, bool poll)
{
	struct io_uring_params p = { .flags = poll ? IORING_SETUP_IOPOLL : 0 };

	memset(r, 0, sizeof(*r));
	r->entries = entries;
	r->poll = poll;
	r->fd = (int)syscall(SYS_io_uring_setup, entries, &p);
	if (r->fd < 0)
		return -errno;
	if (!(p.features & IORING_FEAT_SINGLE_MMAP)) {
		close(r->fd);
		return -EOPNOTSUPP;
	}
	return ring_map(r, &p);
}

void ring_close(struct ring *r)
{
	if (r->map)
		munmap(r->map, r->map_size);
	if (r->sqes)
		munmap(r->sqes, r->sqes_size);
	if (r->fd >= 0)
		close(r->fd);
	memset(r, 0, sizeof(*r));
	r->fd = -1;
}

static int ring_submit(struct ring *r, const struct io_uring_sqe *sqe)
{
	const unsigned int tail = *r->sq_tail;
	const unsigned int i = tail & *r->sq_mask;
	int n;

	r->sqes[i] = *sqe;
	r->sq_array[i] = i;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	do
		n = (int)syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0);
	while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n == 1 ? 0 : -errno;
}

int ring_rw(struct ring *r, bool write, int fd, void *p, size_t size, uint64_t offset, int rw_flags,
	    uint64_t tag)
{
	const struct io_uring_sqe sqe = {
		.opcode = write ? IORING_OP_WRITE : IORING_OP_READ,
		.fd = fd,
		.addr = (uintptr_t)p,
		.len = (uint32_t)size,
		.off = offset,
		.rw_flags = rw_flags,
		.user_data = tag,
	};

	return ring_submit(r, &sqe);
}

int ring_rwv(struct ring *r, bool write, int fd, const struct iovec *iov, unsigned int n, uint64_t offset,
	     uint64_t tag)
{
	const struct io_uring_sqe sqe = {
		.opcode = write ? IORING_OP_WRITEV : IORING_OP_READV,
		.fd = fd,
		.addr = (uintptr_t)iov,
		.len = n,
		.off = offset,
		.user_data = tag,
	};

	return ring_submit(r, &sqe);
}

int ring_wait(struct ring *r, int timeout_ms, uint64_t *tag, int *result)
{
	const uint64_t end = now_ms() + (uint64_t)patient_ms(timeout_ms);

	for (;;) {
		const unsigned int head = *r->cq_head;

		if (head != __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE)) {
			const struct io_uring_cqe *c = &r->cqes[head & *r->cq_mask];

			if (tag)
				*tag = c->user_data;
			*result = c->res;
			__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
			return 0;
		}
		if (now_ms() >= end)
			return -ETIME;
		/* a polled ring completes only while somebody asks */
		if (r->poll) {
			syscall(SYS_io_uring_enter, r->fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
		} else {
			struct pollfd p = { .fd = r->fd, .events = POLLIN };

			poll(&p, 1, timeout_ms > 50 ? 50 : timeout_ms);
		}
	}
}
