#include "gateway/front/http.h"

const struct pst_http_limits PST_HTTP_DEFAULT_LIMITS = {
    .line = 4094,
    .field = 8190,
    .fields = 100,
    .head = 65536,
    .extensions = 16384,
    .trailers = 8192,
    .map = PST_HTTP_MAP_DROP,
};
