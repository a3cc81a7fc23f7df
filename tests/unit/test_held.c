/* Answers that are held back: taken at once, sent by the watcher, and either, at the same moment.
 */
#include "adapters/held.h"
#include "tests/unit/runner.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS 300

static struct pst_held *held;
static int sockets[2];

static void
set_up(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	held = pst_held_new();
	ck_assert_ptr_nonnull(held);
}

static void
tear_down(void)
{
	pst_held_free(held);
	close(sockets[0]);
	close(sockets[1]);
}

static void
give(const char *text)
{
	pst_held_wake(held);
	pst_held_give(held, sockets[0], text, strlen(text));
}

/* What the watcher sends comes, however long the main thread does not take it. */
START_TEST(test_watcher)
{
	char got[8];

	for (int round = 0; round < 3; round++) {
		give("answer");
		ck_assert_int_eq(recv(sockets[1], got, 6, MSG_WAITALL), 6);
		ck_assert(memcmp(got, "answer", 6) == 0);
		ck_assert_uint_eq(pst_held_take(held), 6);
	}
}
END_TEST

/* A crash sends it at once. */
START_TEST(test_crash)
{
	char got[8];

	give("answer");
	pst_held_crash();
	ck_assert_int_eq(recv(sockets[1], got, 6, MSG_WAITALL), 6);
	pst_held_crash();
	ck_assert_int_lt(recv(sockets[1], got, 1, MSG_DONTWAIT), 0);
	pst_held_take(held);
}
END_TEST

static void *
read_all(void *arg)
{
	unsigned char *got = arg;

	ck_assert_int_eq(recv(sockets[1], got, ROUNDS, MSG_WAITALL), ROUNDS);
	return NULL;
}

/* Whoever sends a byte, the watcher or the main thread, each is sent once, and in order. */
START_TEST(test_either)
{
	unsigned char bytes[ROUNDS], got[ROUNDS];
	pthread_t reader;

	ck_assert_int_eq(pthread_create(&reader, NULL, read_all, got), 0);
	for (size_t i = 0; i < ROUNDS; i++) {
		bytes[i] = (unsigned char)(i % 251);
		pst_held_wake(held);
		pst_held_give(held, sockets[0], &bytes[i], 1);
		usleep((useconds_t)(i * 37 % 3000));
		if (pst_held_take(held) == 0)
			ck_assert_int_eq(send(sockets[0], &bytes[i], 1, 0), 1);
	}
	pthread_join(reader, NULL);
	ck_assert(memcmp(got, bytes, ROUNDS) == 0);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("held");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, test_watcher);
	tcase_add_test(tcase, test_crash);
	tcase_add_test(tcase, test_either);
	return run_case("held", tcase);
}
