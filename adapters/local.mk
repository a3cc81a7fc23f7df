penstockincludedir = $(includedir)/penstock
penstockinclude_HEADERS = %D%/include/penstock/plugin.h

# The adapter without its main(), so that unit tests can link it.
noinst_LTLIBRARIES += %D%/libpst-adapter.la
%C%_libpst_adapter_la_SOURCES = \
	%D%/adapter.c \
	%D%/adapter.h \
	%D%/allow.c \
	%D%/allow.h \
	%D%/body.c \
	%D%/body.h \
	%D%/control.c \
	%D%/control.h \
	%D%/crash.c \
	%D%/crash.h \
	%D%/fields.c \
	%D%/fields.h \
	%D%/find.c \
	%D%/find.h \
	%D%/head.c \
	%D%/head.h \
	%D%/held.c \
	%D%/held.h \
	%D%/host.c \
	%D%/host.h \
	%D%/inherit.c \
	%D%/inherit.h \
	%D%/link.c \
	%D%/link.h \
	%D%/link_carrier.c \
	%D%/link_handle.c \
	%D%/link_internal.h \
	%D%/link_turns.c \
	%D%/link_values.c \
	%D%/link_values.h \
	%D%/listener.c \
	%D%/listener.h \
	%D%/load.c \
	%D%/load.h \
	%D%/log.c \
	%D%/log.h \
	%D%/look.h \
	%D%/offer.c \
	%D%/offer.h \
	%D%/options.c \
	%D%/options.h \
	%D%/piece.c \
	%D%/piece.h \
	%D%/request.c \
	%D%/request.h \
	%D%/request_answer.c \
	%D%/request_file.c \
	%D%/request_internal.h \
	%D%/sendfile.c \
	%D%/sendfile.h \
	%D%/serve.c \
	%D%/serve.h \
	%D%/share.c \
	%D%/share.h \
	%D%/server.c \
	%D%/server.h \
	%D%/threaded_carrier.c \
	%D%/threaded_held.c \
	%D%/threaded_internal.h \
	%D%/threaded_link.c \
	%D%/threaded_link.h \
	%D%/threaded_members.c \
	%D%/threaded_pump.c \
	%D%/threaded_server.c \
	%D%/threaded_server.h \
	%D%/threaded_wait.c \
	%D%/usage.c \
	%D%/usage.h \
	%D%/vitals.c \
	%D%/vitals.h

# $(pkglibexecdir)/sync, $(pkglibexecdir)/threaded
pkglibexec_PROGRAMS += %D%/sync %D%/threaded
%C%_sync_SOURCES = %D%/sync.c
%C%_sync_LDFLAGS = $(program_ldflags)
%C%_sync_LDADD = %D%/libpst-adapter.la protocol/libpst-protocol.la
%C%_threaded_SOURCES = %D%/threaded.c
%C%_threaded_LDFLAGS = $(program_ldflags)
%C%_threaded_LDADD = %D%/libpst-adapter.la protocol/libpst-protocol.la

# What only the async adapter has; loop_event.c knows libevent.
noinst_LTLIBRARIES += %D%/libpst-async.la
%C%_libpst_async_la_SOURCES = \
	%D%/async_core.c \
	%D%/async_core.h \
	%D%/async_link.c \
	%D%/async_link.h \
	%D%/async_message.c \
	%D%/async_message.h \
	%D%/async_output.c \
	%D%/async_request.c \
	%D%/async_request.h \
	%D%/async_server.c \
	%D%/async_server.h \
	%D%/loop.h \
	%D%/loop_event.c \
	%D%/loop_event.h \
	%D%/loop_plugin.c \
	%D%/loop_plugin.h
async_libs = adapters/libpst-async.la adapters/libpst-adapter.la protocol/libpst-protocol.la $(LIBEVENT_LIBS)

# $(pkglibexecdir)/async
pkglibexec_PROGRAMS += %D%/async
%C%_async_SOURCES = %D%/async.c
%C%_async_LDFLAGS = $(program_ldflags)
%C%_async_LDADD = $(async_libs)
