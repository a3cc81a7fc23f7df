#include "gateway/arbiter/unlisten.h"

#include "gateway/log.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Of the TCP header, with which what a listener's filter is shown begins (RFC 9293, 3.1). */
#define FLAGS_AT 13
#define FLAG_SYN 0x02

static int
protocol_of(int fd)
{
	int protocol;
	socklen_t size = sizeof(protocol);

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 ? protocol : -1;
}

void
pst_unlisten(int fd)
{
	struct sock_filter drop_syn[] = {
	    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
	    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, FLAG_SYN, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, 0),
	    BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = {
	    .len = sizeof(drop_syn) / sizeof(drop_syn[0]),
	    .filter = drop_syn,
	};

	if (protocol_of(fd) != IPPROTO_TCP)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == -1)
		pst_log_debug("who connects to a listener that is closed cannot be held back: %s",
		    strerror(errno));
}
