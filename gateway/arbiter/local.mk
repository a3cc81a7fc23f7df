# The arbiter without its main(), so that unit tests can link it.
noinst_LTLIBRARIES += %D%/libpst-arbiter.la
%C%_libpst_arbiter_la_SOURCES = \
	gateway/address.c \
	gateway/address.h \
	gateway/conf.c \
	gateway/conf.h \
	gateway/conf_check.c \
	gateway/conf_check.h \
	gateway/conf_help.c \
	gateway/conf_internal.h \
	gateway/conf_line.c \
	gateway/conf_read.c \
	gateway/conf_table.c \
	gateway/conf_words.c \
	gateway/conf_words.h \
	gateway/nearest.c \
	gateway/nearest.h \
	%D%/arbiter.c \
	%D%/arbiter.h \
	%D%/channel.c \
	%D%/channel.h \
	%D%/child.c \
	%D%/child.h \
	%D%/clock.h \
	%D%/gate.c \
	%D%/identity.c \
	%D%/identity.h \
	%D%/listener.c \
	%D%/listener.h \
	%D%/logfile.c \
	%D%/logfile.h \
	%D%/operate.c \
	%D%/output.c \
	%D%/output.h \
	%D%/phase.c \
	%D%/pidfile.c \
	%D%/pidfile.h \
	%D%/rundir.c \
	%D%/rundir.h \
	%D%/slot.c \
	%D%/slot.h \
	%D%/spawn.c \
	%D%/spawn.h \
	%D%/state.h \
	%D%/turnover.c \
	%D%/worker.c
