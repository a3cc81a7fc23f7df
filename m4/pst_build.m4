# PST_ARG_BUILD: the options that choose a kind of build.
AC_DEFUN([PST_ARG_BUILD], [
AC_ARG_ENABLE([werror],
	[AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors])],
	[], [enable_werror=no])
AC_ARG_ENABLE([lto],
	[AS_HELP_STRING([--enable-lto],
		[optimize each program that is installed as a whole (for releases: slow to link)])],
	[], [enable_lto=no])
AC_ARG_ENABLE([coverage],
	[AS_HELP_STRING([--enable-coverage], [compile for gcov])],
	[], [enable_coverage=no])
AC_ARG_ENABLE([fuzzing],
	[AS_HELP_STRING([--enable-fuzzing],
		[link the fuzz targets with libFuzzer, too (needs CC=clang)])],
	[], [enable_fuzzing=no])
AC_ARG_WITH([sanitizer],
	[AS_HELP_STRING([--with-sanitizer=LIST],
		[compile with -fsanitize=LIST: address,undefined or thread])],
	[], [with_sanitizer=no])
AS_CASE([$with_sanitizer],
	[yes], [AC_MSG_ERROR([--with-sanitizer needs a list: address,undefined or thread])])
AM_CONDITIONAL([FUZZING], [test "$enable_fuzzing" = yes])
pst_options=
AS_IF([test "$enable_werror" = yes], [pst_options="$pst_options werror"])
AS_IF([test "$enable_lto" = yes], [pst_options="$pst_options lto"])
AS_IF([test "$enable_coverage" = yes], [pst_options="$pst_options coverage"])
AS_IF([test "$enable_fuzzing" = yes], [pst_options="$pst_options fuzzing"])
AS_IF([test "$with_sanitizer" != no], [pst_options="$pst_options sanitizer=$with_sanitizer"])
pst_options=${pst_options:- none}
pst_options=${pst_options# }
AC_DEFINE_UNQUOTED([PST_BUILD_OPTIONS], ["$pst_options"],
	[What was given to configure that makes another kind of build.])
# As a C string.
pst_shown_cflags=`AS_ECHO(["$CFLAGS"]) | sed 's/[[\\"]]/\\\\&/g'`
AC_DEFINE_UNQUOTED([PST_BUILD_CFLAGS], ["$pst_shown_cflags"], [CFLAGS of configure.])
])

# PST_TRY_FLAG(FLAG, VARIABLE): add FLAG to VARIABLE if the compiler knows it.
AC_DEFUN([PST_TRY_FLAG], [
AS_VAR_PUSHDEF([cache], [pst_cv_flag_$1])
AC_CACHE_CHECK([whether $CC accepts $1], [cache], [
	pst_saved_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -Werror $1"
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM()], [AS_VAR_SET([cache], [yes])],
		[AS_VAR_SET([cache], [no])])
	CFLAGS=$pst_saved_CFLAGS
])
AS_VAR_IF([cache], [yes], [$2="$$2 $1"])
AS_VAR_POPDEF([cache])
])

# PST_NEED_FLAG(FLAGS, REASON): FLAGS must compile and link, or configure ends with REASON.
AC_DEFUN([PST_NEED_FLAG], [
AC_MSG_CHECKING([whether $CC builds with $1])
pst_saved_CFLAGS=$CFLAGS
CFLAGS="$CFLAGS $1"
AC_LINK_IFELSE([AC_LANG_PROGRAM()], [AC_MSG_RESULT([yes])],
	[AC_MSG_RESULT([no])
	AC_MSG_ERROR([$2])])
CFLAGS=$pst_saved_CFLAGS
])

# PST_COMPILER_FLAGS: PST_CFLAGS and PST_LDFLAGS for all of our code, PST_FUZZ_LDFLAGS for
# libFuzzer programs, PST_NO_LTO for what is not installed. CFLAGS stays the user's.
AC_DEFUN([PST_COMPILER_FLAGS], [
PST_CFLAGS=
PST_LDFLAGS=
PST_FUZZ_LDFLAGS=
PST_NO_LTO=
m4_foreach_w([flag], [-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
	-Wold-style-definition -Wmissing-declarations -Wpointer-arith -Wwrite-strings -Wvla
	-Wundef -Wformat=2 -Wnull-dereference -Wimplicit-fallthrough -Wdate-time
	-Wduplicated-cond -Wlogical-op
	-fno-common -fno-strict-aliasing -fvisibility=hidden],
	[PST_TRY_FLAG(m4_defn([flag]), [PST_CFLAGS])])
AS_IF([test "$enable_werror" = yes], [PST_CFLAGS="$PST_CFLAGS -Werror"])
# Objects are fat: tests link the machine code in them, as ever, and only what is installed is
# optimized as a whole.
AS_IF([test "$enable_lto" = yes], [
	PST_NEED_FLAG([-flto=auto -ffat-lto-objects],
		[--enable-lto: $CC cannot build with -flto=auto -ffat-lto-objects])
	PST_CFLAGS="$PST_CFLAGS -flto=auto -ffat-lto-objects"
	PST_NO_LTO=-fno-lto
])
AS_IF([test "$enable_coverage" = yes], [
	PST_NEED_FLAG([--coverage], [--enable-coverage: $CC has no --coverage])
	PST_CFLAGS="$PST_CFLAGS --coverage"
	PST_LDFLAGS="$PST_LDFLAGS --coverage"
])
AS_IF([test "$with_sanitizer" != no], [
	pst_sanitize="-fsanitize=$with_sanitizer -fno-sanitize-recover=all -fno-omit-frame-pointer"
	PST_NEED_FLAG([$pst_sanitize], [--with-sanitizer: $CC cannot build with $pst_sanitize])
	PST_CFLAGS="$PST_CFLAGS $pst_sanitize"
	PST_LDFLAGS="$PST_LDFLAGS $pst_sanitize"
])
AS_IF([test "$enable_fuzzing" = yes], [
	PST_NEED_FLAG([-fsanitize=fuzzer-no-link],
		[--enable-fuzzing needs libFuzzer: apt install clang libclang-rt-14-dev, then ./configure CC=clang --enable-fuzzing])
	PST_CFLAGS="$PST_CFLAGS -fsanitize=fuzzer-no-link"
	PST_FUZZ_LDFLAGS="-fsanitize=fuzzer"
])
AC_SUBST([PST_CFLAGS])
AC_SUBST([PST_LDFLAGS])
AC_SUBST([PST_FUZZ_LDFLAGS])
AC_SUBST([PST_NO_LTO])
])

# PST_SUMMARY: what configure found, for people.
AC_DEFUN([PST_SUMMARY], [
AS_ECHO(["
$PACKAGE_NAME $PACKAGE_VERSION
  prefix     $prefix
  compiler   $CC $CFLAGS
  options    $pst_options
  libevent   $pst_libevent
  libyaml    $pst_yaml
  cJSON      $pst_cjson
  libfcgi    $pst_fastcgi
  wslay      $pst_wslay
  zlib       $pst_zlib
  libmd      $pst_libmd
  check      $pst_check
  Python     $pst_python

Next: make, then make check, make install."])
])
