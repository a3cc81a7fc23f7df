# The FastCGI session and the control lines: sans I/O, libc only. sealed.c, page_map.c and lane.c
# make memory that is shared, descriptor.c sends and takes descriptors beside bytes.
noinst_LTLIBRARIES += %D%/libpst-protocol.la
%C%_libpst_protocol_la_SOURCES = \
	%D%/buf.c \
	%D%/buf.h \
	%D%/control.c \
	%D%/control.h \
	%D%/error.c \
	%D%/error.h \
	%D%/lane.c \
	%D%/lane.h \
	%D%/descriptor.c \
	%D%/descriptor.h \
	%D%/outbox.c \
	%D%/outbox.h \
	%D%/page.c \
	%D%/page.h \
	%D%/page_map.c \
	%D%/page_map.h \
	%D%/params.c \
	%D%/params.h \
	%D%/record.c \
	%D%/record.h \
	%D%/sealed.c \
	%D%/sealed.h \
	%D%/session.c \
	%D%/session_credit.c \
	%D%/session_file.c \
	%D%/session.h \
	%D%/session_internal.h \
	%D%/session_message.c \
	%D%/session_notice.c \
	%D%/session_recv.c \
	%D%/session_recv_management.c \
	%D%/session_recv_request.c \
	%D%/session_shared.c \
	%D%/session_submit.c \
	%D%/session_table.c

EXTRA_DIST += %D%/PROTOCOL.md
