#include "adapters/host.h"

#include "adapters/log.h"
#include "adapters/request.h"

const struct pst_host pst_host = {
    .size = sizeof(struct pst_host),
    .log = pst_log_text,
    .params = pst_request_params,
    .read = pst_request_read,
    .respond = pst_request_respond,
    .write = pst_request_write,
    .gathers = pst_request_gathers,
    .post = pst_request_post,
    .flush = pst_request_flush,
    .send_file = pst_request_send_file,
    .trailers = pst_request_trailers,
    .complete = pst_request_complete,
    .error = pst_request_error,
    .reason = pst_request_reason,
    .begun = pst_request_begun,
};
