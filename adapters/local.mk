penstockincludedir = $(includedir)/penstock
penstockinclude_HEADERS = %D%/include/penstock/plugin.h

# The adapter without its main(), so that unit tests can link it.
noinst_LTLIBRARIES += %D%/libpst-adapter.la
%C%_libpst_adapter_la_SOURCES =

# $(pkglibexecdir)/sync
pkglibexec_PROGRAMS += %D%/sync
%C%_sync_SOURCES = %D%/sync.c
%C%_sync_LDADD = %D%/libpst-adapter.la protocol/libpst-protocol.la
