# The gateway's parts that do no I/O, so that unit tests and fuzz targets can link them: http,
# cgi, spool, access_log ...
noinst_LTLIBRARIES += %D%/libpst-front.la
%C%_libpst_front_la_SOURCES = \
	%D%/access_log.c \
	%D%/access_log.h \
	%D%/base64.c \
	%D%/base64.h \
	%D%/cgi_params.c \
	%D%/cgi_params.h \
	%D%/cgi_response.c \
	%D%/cgi_response.h \
	%D%/forwarded.c \
	%D%/forwarded.h \
	%D%/forwarded_list.c \
	%D%/forwarded_list.h \
	%D%/heap.c \
	%D%/heap.h \
	%D%/http.c \
	%D%/http.h \
	%D%/http_body.c \
	%D%/http_body.h \
	%D%/http_chars.c \
	%D%/http_chars.h \
	%D%/http_date.c \
	%D%/http_date.h \
	%D%/http_field.c \
	%D%/http_field.h \
	%D%/http_request.c \
	%D%/http_request.h \
	%D%/http_response.c \
	%D%/http_response.h \
	%D%/http_scan.h \
	%D%/http_status.c \
	%D%/http_status.h \
	%D%/http_target.c \
	%D%/http_target.h \
	%D%/pace.c \
	%D%/pace.h \
	%D%/path.c \
	%D%/path.h \
	%D%/peer_address.c \
	%D%/peer_address.h \
	%D%/remote.c \
	%D%/remote.h \
	%D%/route.c \
	%D%/route.h \
	%D%/script.c \
	%D%/script.h \
	%D%/sheet.c \
	%D%/sheet.h \
	%D%/spool.c \
	%D%/spool.h \
	%D%/trust.c \
	%D%/trust.h

# WebSockets, which only the gateway links: no I/O either.
noinst_LTLIBRARIES += %D%/libpst-websocket.la
%C%_libpst_websocket_la_SOURCES = \
	%D%/utf8.c \
	%D%/utf8.h \
	%D%/websocket.c \
	%D%/websocket.h \
	%D%/websocket_deflate.c \
	%D%/websocket_deflate.h \
	%D%/websocket_framer.c \
	%D%/websocket_framer.h \
	%D%/websocket_handshake.c \
	%D%/websocket_handshake.h
%C%_libpst_websocket_la_LIBADD = $(WEBSOCKET_LIBS)

# The gateway process, $(pkglibexecdir)/gateway: the parts that know libevent.
pkglibexec_PROGRAMS += %D%/gateway
%C%_gateway_LDFLAGS = $(program_ldflags)
%C%_gateway_SOURCES = \
	%D%/acceptor.c \
	%D%/acceptor.h \
	%D%/answer.c \
	%D%/answer.h \
	%D%/answer_files.c \
	%D%/answer_files.h \
	%D%/answer_lent.c \
	%D%/answer_lent.h \
	%D%/trailers.c \
	%D%/trailers.h \
	%D%/client.c \
	%D%/client.h \
	%D%/client_internal.h \
	%D%/client_read.c \
	%D%/client_write.c \
	%D%/container.h \
	%D%/deadline.c \
	%D%/decimal.h \
	%D%/deadline.h \
	%D%/exchange.c \
	%D%/exchange.h \
	%D%/exchange_body.c \
	%D%/exchange_figures.c \
	%D%/exchange_health.c \
	%D%/exchange_internal.h \
	%D%/exchange_job.c \
	%D%/exchange_log.c \
	%D%/exchange_route.c \
	%D%/figures.c \
	%D%/figures.h \
	%D%/foreign.c \
	%D%/foreign.h \
	%D%/front.c \
	%D%/front.h \
	%D%/front_internal.h \
	%D%/front_lines.c \
	%D%/front_pools.c \
	%D%/front_pools.h \
	%D%/job.c \
	%D%/job.h \
	%D%/leaving.c \
	%D%/leaving.h \
	%D%/loop.c \
	%D%/loop.h \
	%D%/main.c \
	%D%/pool.c \
	%D%/pool_ahead.c \
	%D%/pool.h \
	%D%/pool_internal.h \
	%D%/pool_slot.c \
	%D%/pool_status.c \
	%D%/queue.c \
	%D%/queue.h \
	%D%/refusals.c \
	%D%/refusals.h \
	%D%/runtime_dir.c \
	%D%/runtime_dir.h \
	%D%/settings.c \
	%D%/settings.h \
	%D%/tally.c \
	%D%/tally.h \
	%D%/tunnel.c \
	%D%/tunnel.h \
	%D%/upstream.c \
	%D%/upstream_ahead.c \
	%D%/upstream.h \
	%D%/upstream_internal.h \
	%D%/upstream_jobs.c \
	%D%/upstream_page.c \
	%D%/uplink.c \
	%D%/uplink.h \
	%D%/worker_lines.c \
	%D%/worker_lines.h
%C%_gateway_LDADD = \
	%D%/libpst-websocket.la \
	%D%/libpst-front.la \
	gateway/libpst-gateway.la \
	protocol/libpst-protocol.la \
	$(LIBEVENT_LIBS)
