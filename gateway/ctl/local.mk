# "penstock ctl", without the main() of penstock.
noinst_LTLIBRARIES += %D%/libpst-ctl.la
%C%_libpst_ctl_la_SOURCES = \
	%D%/ctl.c \
	%D%/ctl.h \
	%D%/find.c \
	%D%/find.h \
	%D%/json.c \
	%D%/json.h \
	%D%/show.c \
	%D%/show.h \
	%D%/table.c \
	%D%/table.h \
	%D%/talk.c \
	%D%/talk.h
