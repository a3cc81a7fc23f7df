# What Penstock is built from. Each check stores what it found, for the summary, or adds a line
# about what is missing; PST_MISSING_REPORT ends configure with all of these lines.
AC_DEFUN([PST_MISSING_INIT], [
AC_REQUIRE([PKG_PROG_PKG_CONFIG])
AS_IF([test -z "$PKG_CONFIG"],
	[AC_MSG_ERROR([pkg-config is missing: apt install pkg-config])])
pst_missing=
])

# PST_MISSING(LINE)
AC_DEFUN([PST_MISSING], [pst_missing="$pst_missing
  $1"])

AC_DEFUN([PST_MISSING_REPORT], [
AS_IF([test -n "$pst_missing"], [AC_MSG_ERROR([something is missing:$pst_missing])])
])

AC_DEFUN([PST_CHECK_LIBEVENT], [
PKG_CHECK_MODULES([LIBEVENT], [libevent_core >= 2.1],
	[pst_libevent=`$PKG_CONFIG --modversion libevent_core`],
	[PST_MISSING([libevent 2.1 (libevent_core): apt install libevent-dev])])
])

AC_DEFUN([PST_CHECK_YAML], [
PKG_CHECK_MODULES([YAML], [yaml-0.1 >= 0.2],
	[pst_yaml=`$PKG_CONFIG --modversion yaml-0.1`],
	[PST_MISSING([libyaml 0.2 (yaml-0.1): apt install libyaml-dev])])
])

# "penstock ctl --json" is made with it.
AC_DEFUN([PST_CHECK_CJSON], [
PKG_CHECK_MODULES([CJSON], [libcjson >= 1.7],
	[pst_cjson=`$PKG_CONFIG --modversion libcjson`],
	[PST_MISSING([cJSON 1.7 (libcjson): apt install libcjson-dev])])
])

# Frames of WebSockets, their compression, and the SHA-1 of their handshake, each from the smallest
# library that has it. wslay brings no file for pkg-config.
AC_DEFUN([PST_CHECK_WEBSOCKET], [
pst_wslay=
AC_CHECK_HEADER([wslay/wslay.h],
	[AC_CHECK_LIB([wslay], [wslay_frame_recv], [pst_wslay=found], [])])
AS_IF([test -z "$pst_wslay"], [PST_MISSING([wslay: apt install libwslay-dev])])
PKG_CHECK_MODULES([ZLIB], [zlib >= 1.2.11],
	[pst_zlib=`$PKG_CONFIG --modversion zlib`],
	[PST_MISSING([zlib 1.2.11: apt install zlib1g-dev])])
PKG_CHECK_MODULES([LIBMD], [libmd >= 1.0],
	[pst_libmd=`$PKG_CONFIG --modversion libmd`],
	[PST_MISSING([libmd 1.0: apt install libmd-dev])])
AC_SUBST([WEBSOCKET_CFLAGS], ["$ZLIB_CFLAGS $LIBMD_CFLAGS"])
AC_SUBST([WEBSOCKET_LIBS], ["-lwslay $ZLIB_LIBS $LIBMD_LIBS"])
])

# Only the wire constants of <fastcgi.h> are used, so nothing is linked.
AC_DEFUN([PST_CHECK_FASTCGI], [
PKG_CHECK_MODULES([FASTCGI], [fcgi],
	[pst_fastcgi=`$PKG_CONFIG --modversion fcgi`], [pst_fastcgi=found])
pst_saved_CPPFLAGS=$CPPFLAGS
CPPFLAGS="$CPPFLAGS $FASTCGI_CFLAGS"
AC_CHECK_HEADER([fastcgi.h], [],
	[PST_MISSING([libfcgi's <fastcgi.h>: apt install libfcgi-dev])])
CPPFLAGS=$pst_saved_CPPFLAGS
])

# Only `make check` needs it, and says so.
AC_DEFUN([PST_CHECK_CHECK], [
PKG_CHECK_MODULES([CHECK], [check >= 0.15],
	[pst_check=`$PKG_CONFIG --modversion check`],
	[pst_check="none: make check needs it (apt install check)"])
AM_CONDITIONAL([HAVE_CHECK], [test -n "$CHECK_LIBS"])
])
