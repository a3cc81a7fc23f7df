#include "tests/fuzz/session_digest.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char answer_bytes[100];

static void
mix(struct digest *digest, uint64_t value)
{
	digest->hash = (digest->hash ^ value) * 0x100000001b3U;
}

static void
mix_bytes(struct digest *digest, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++)
		mix(digest, p[i]);
}

static void
on_begin(void *arg, uint16_t id, enum pst_role role, bool keep)
{
	struct digest *digest = arg;

	digest->open++;
	mix(digest, 0x1000000U | (uint64_t)role << 17 | (uint64_t)keep << 16 | id);
	if ((digest->deeds & DIGEST_ENDS_AT_BEGIN) != 0 && (id & 1) != 0)
		pst_session_submit_end(digest->session, id, PST_END_UNKNOWN_ROLE, 1);
}

static int
on_param(
    void *arg, uint16_t id, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct digest *digest = arg;

	mix(digest, 0x2000000U | id);
	mix_bytes(digest, name, name_len);
	mix(digest, '=');
	mix_bytes(digest, value, value_len);
	return (digest->deeds & DIGEST_REFUSES) != 0 && name_len == 0;
}

static int
on_params(void *arg, uint16_t id, const struct pst_pair *pairs, size_t count)
{
	int refused = 0;

	for (size_t i = 0; refused == 0 && i < count; i++)
		refused = on_param(arg, id, pairs[i].name, pairs[i].name_len,
		    pst_pair_value(&pairs[i]), pairs[i].value_len);
	return refused;
}

static void
on_ready(void *arg, uint16_t id)
{
	struct digest *digest = arg;

	mix(digest, 0x3000000U | id);
	if ((digest->deeds & DIGEST_FREES_AT_READY) != 0)
		pst_session_free(digest->session);
	if ((digest->deeds & DIGEST_ANSWERS) != 0) {
		int lent = dup(digest->files[0]);

		if (lent >= 0 && pst_session_submit_memory(digest->session, lent, 256) < 0)
			close(lent);
		pst_session_submit_data(digest->session, id, PST_STREAM_STDOUT, "hello", 5);
		pst_session_submit_data(digest->session, id, PST_STREAM_STDERR, "oh", 2);
		pst_session_submit_trailer(digest->session, id, "A", 1, "b", 1);
		pst_session_submit_usage(
		    digest->session, id, &(struct pst_session_usage){.cpu = 5});
		pst_session_submit_drain(digest->session);
		pst_session_submit_end(digest->session, id, PST_END_COMPLETE, 7);
	}
}

static void
on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct digest *digest = arg;
	const unsigned char *p = bytes;
	uint64_t key = 0x4000000U | (uint64_t)stream << 16 | id;

	if (n == 0)
		mix(digest, key | 0x100000000U);
	for (size_t i = 0; i < n; i++)
		mix(digest, key << 8 | p[i]);
	if ((digest->deeds & DIGEST_ABORTS) != 0 && stream == PST_STREAM_STDERR)
		pst_session_submit_abort(digest->session, id, PST_SESSION_ABORT_DEADLINE);
}

static void
on_abort(void *arg, uint16_t id, enum pst_session_abort why)
{
	struct digest *digest = arg;

	mix(digest, 0x5000000U | (uint64_t)why << 16 | id);
	if ((digest->deeds & DIGEST_ENDS_AT_ABORT) != 0)
		pst_session_submit_end(digest->session, id, PST_END_COMPLETE, 1);
}

static void
on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct digest *digest = arg;

	assert(digest->open > 0);
	digest->open--;
	mix(digest, 0x6000000U | id);
	mix(digest, (uint64_t)end << 32 | app_status);
	if ((digest->deeds & DIGEST_SUBMITS_AT_END) != 0)
		digest_ask(digest);
}

/* Take what is offered and grant some in return, so that both ways can run out. */
static void
on_credit(void *arg, uint16_t id)
{
	struct digest *digest = arg;
	size_t n = pst_session_credit(digest->session, id);

	mix(digest, 0x9000000U | id);
	mix(digest, n);
	pst_session_submit_credit(digest->session, id, 7);
	if (n > sizeof(answer_bytes))
		n = sizeof(answer_bytes);
	pst_session_submit_data(digest->session, id,
	    digest->is_client ? PST_STREAM_STDIN : PST_STREAM_STDOUT, answer_bytes, n);
}

/* Both sides answer in kind. A message has one hash however it was cut. */
static void
on_message(void *arg, uint16_t id, unsigned flags, const void *bytes, size_t n)
{
	struct digest *digest = arg;
	const unsigned char *p = bytes;
	unsigned kind = flags & PST_SESSION_MESSAGE_BINARY;
	uint64_t key = 0xa000000U | (uint64_t)kind << 16 | id;

	assert((flags & ~3U) == 0 && (n > 0 || (flags & PST_SESSION_MESSAGE_END) != 0));
	for (size_t i = 0; i < n; i++)
		mix(digest, key << 8 | p[i]);
	if ((flags & PST_SESSION_MESSAGE_END) == 0)
		return;
	mix(digest, key | 0x100000000U);
	pst_session_submit_message(digest->session, id, kind, "hel", 3);
	pst_session_submit_message(digest->session, id, flags, "lo", 2);
}

static void
on_closed(void *arg, uint16_t id, unsigned code, const char *reason, size_t n)
{
	struct digest *digest = arg;

	assert(n <= 123);
	mix(digest, 0xb000000U | id);
	mix(digest, code);
	mix_bytes(digest, reason, n);
	pst_session_submit_close(digest->session, id, code, reason, n);
}

static void
on_trailer(
    void *arg, uint16_t id, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct digest *digest = arg;

	mix(digest, 0xc000000U | id);
	mix_bytes(digest, name, name_len);
	mix(digest, '=');
	mix_bytes(digest, value, value_len);
}

/* A server sends the file back. */
static void
on_file(void *arg, uint16_t id, enum pst_stream stream, const struct pst_session_file *file)
{
	struct digest *digest = arg;

	assert(fcntl(file->fd, F_GETFD) >= 0);
	assert(file->length > 0 && file->length <= INT64_MAX - file->offset);
	mix(digest, 0xd000000U | (uint64_t)stream << 16 | id);
	mix(digest, file->offset);
	mix(digest, file->length);
	if (digest->is_client ||
	    pst_session_submit_file(digest->session, id, PST_STREAM_STDOUT, file) < 0)
		close(file->fd);
}

/* What is shared is as long as it says, up to this. */
static unsigned char memory[256];

static void
on_memory(void *arg, int fd, uint32_t size)
{
	struct digest *digest = arg;

	assert(digest->is_client && fcntl(fd, F_GETFD) >= 0);
	close(fd);
	mix(digest, 0x1f000000U);
	mix(digest, size);
	if (size > 0 && size <= sizeof(memory))
		pst_session_use_memory(digest->session, memory + sizeof(memory) - size, size);
}

static void
on_shared(void *arg, uint16_t id, const void *bytes, size_t n)
{
	struct digest *digest = arg;
	const unsigned char *at = bytes;

	assert(n > 0 && at >= memory && n <= (size_t)(memory + sizeof(memory) - at));
	mix(digest, 0x2f000000U | id);
	mix(digest, (uint64_t)(at - memory));
	mix(digest, n);
	mix(digest, pst_session_mark(digest->session));
}

static void
on_usage(void *arg, uint16_t id, const struct pst_session_usage *usage)
{
	struct digest *digest = arg;

	mix(digest, 0xe000000U | id);
	mix(digest, usage->cpu);
	mix(digest, usage->waited);
	mix(digest, usage->lag);
}

static void
on_drain(void *arg)
{
	mix(arg, 0xf000000U);
}

static void
on_get_value(void *arg, const char *name, size_t name_len)
{
	struct digest *digest = arg;

	mix(digest, 0x7000000U);
	mix_bytes(digest, name, name_len);
	pst_session_submit_value(digest->session, name, name_len, "1", 1);
}

static void
on_value(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct digest *digest = arg;

	mix(digest, name == NULL ? 0x8000001U : 0x8000000U);
	mix_bytes(digest, name, name_len);
	mix_bytes(digest, value, value_len);
}

const struct pst_session_callbacks digest_callbacks = {
    .begin = on_begin,
    .params = on_params,
    .ready = on_ready,
    .data = on_data,
    .abort = on_abort,
    .end = on_end,
    .credit = on_credit,
    .message = on_message,
    .closed = on_closed,
    .trailer = on_trailer,
    .file = on_file,
    .memory = on_memory,
    .shared = on_shared,
    .usage = on_usage,
    .drain = on_drain,
    .get_value = on_get_value,
    .value = on_value,
};

/* A copy as long as the piece: a sanitizer sees a read beyond it. */
static int
feed(struct digest *digest, const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n);
	int err;

	assert(copy != NULL);
	memcpy(copy, bytes, n);
	err = pst_session_recv(digest->session, copy, n);
	free(copy);
	return err;
}

static int
feed_all(struct digest *digest, const uint8_t *data, size_t size, size_t piece)
{
	size_t n;
	int err = 0;

	for (; err == 0 && size > 0; data += n, size -= n) {
		n = size < piece ? size : piece;
		err = feed(digest, data, n);
	}
	return err;
}

/* Some descriptors, before all bytes. */
static void
give_files(struct digest *digest)
{
	for (unsigned i = 0; i < DIGEST_FILES && pst_session_files(digest->session); i++) {
		digest->files[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert(digest->files[i] > 0);
		assert(pst_session_recv_fd(digest->session, digest->files[i]) == 0);
	}
}

static void
check_closed(const struct digest *digest)
{
	for (unsigned i = 0; i < DIGEST_FILES; i++)
		assert(digest->files[i] == 0 || fcntl(digest->files[i], F_GETFD) < 0);
}

uint64_t
digest_run(struct digest *digest, const uint8_t *data, size_t size, size_t piece)
{
	const void *bytes;
	size_t n;
	int err;

	give_files(digest);
	err = feed_all(digest, data, size, piece);
	mix(digest, (uint64_t)err);
	if (err != PST_ERR_CLOSED) {
		assert(err == 0 || *pst_session_reason(digest->session) != '\0');
		assert(err == 0 || digest->open == 0);
		mix(digest, pst_session_want_read(digest->session));
		while ((n = pst_session_send(digest->session, &bytes)) > 0) {
			mix(digest, pst_session_send_fd(digest->session) >= 0);
			mix_bytes(digest, bytes, n);
			pst_session_sent(digest->session, n);
		}
		digest->deeds = 0;
		pst_session_free(digest->session);
	}
	assert(digest->open == 0);
	check_closed(digest);
	return digest->hash;
}

void
digest_agree(struct digest *digest)
{
	/* One record: its header, then the pair without and with a value. */
	static const uint8_t asked[] = "\x01\x09\0\0\0\x33\x05\0"
				       "\x10\x00PENSTOCK_VERSION"
				       "\x0e\x00PENSTOCK_FILES"
				       "\x0f\x00PENSTOCK_MEMORY"
				       "\0\0\0\0";
	static const uint8_t answered[] = "\x01\x0a\0\0\0\x36\x02\0"
					  "\x10\x01PENSTOCK_VERSION1"
					  "\x0e\x01PENSTOCK_FILES1"
					  "\x0f\x01PENSTOCK_MEMORY1"
					  "\0";
	int err;

	if ((digest->deeds & DIGEST_AGREES) == 0)
		return;
	/* The NUL that ends each is part of the padding. */
	err = digest->is_client ? feed(digest, answered, sizeof(answered))
				: feed(digest, asked, sizeof(asked));
	assert(err == 0 && pst_session_lends(digest->session));
}

/* Bounded: an input of END_REQUEST records would go on for ever. */
void
digest_ask(struct digest *digest)
{
	uint16_t id;

	if (digest->begun == 64 ||
	    pst_session_submit_begin(digest->session, PST_ROLE_RESPONDER, true, &id) < 0)
		return;
	digest->begun++;
	digest->open++;
	pst_session_submit_param(digest->session, id, "A", 1, "b", 1);
	pst_session_submit_params_end(digest->session, id);
	pst_session_submit_data(digest->session, id, PST_STREAM_STDIN, "body", 4);
	pst_session_submit_data(digest->session, id, PST_STREAM_STDIN, NULL, 0);
}
