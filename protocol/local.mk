# The FastCGI session and the control lines: sans I/O, libc only.
noinst_LTLIBRARIES += %D%/libpst-protocol.la
%C%_libpst_protocol_la_SOURCES = \
	%D%/buf.h \
	%D%/control.h \
	%D%/error.h \
	%D%/params.h \
	%D%/record.h \
	%D%/session.h
