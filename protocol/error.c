#include "protocol/error.h"

const char *
pst_error_string(int err)
{
	switch (err) {
	case PST_OK: return "success";
	case PST_ERR_NOMEM: return "out of memory";
	case PST_ERR_PROTOCOL: return "the peer broke the protocol";
	case PST_ERR_LIMIT: return "a limit was exceeded";
	case PST_ERR_STATE: return "not possible in this state";
	case PST_ERR_CLOSED: return "the session is over";
	default: return "unknown error";
	}
}
