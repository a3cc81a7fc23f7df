# PST_CHECK_PYTHON: the interpreter that the Python plugin embeds.
#
# The interpreter is asked itself, through its sysconfig: pkg-config knows the system's Python
# only, and a virtualenv has no python3-config. With --with-python=PATH it is that one or an error;
# without the option it is PATH's python3 if that can be embedded, else /usr/bin/python3.
AC_DEFUN([PST_CHECK_PYTHON], [
AC_ARG_WITH([python],
	[AS_HELP_STRING([--with-python=PYTHON],
		[the interpreter to embed (default: python3 of PATH if it can be embedded,
		otherwise /usr/bin/python3)])
AS_HELP_STRING([--without-python], [build no Python plugin])],
	[], [with_python=default])

pst_python=none
AS_CASE([$with_python],
	[no], [],
	[default], [PST_PYTHON_DEFAULT],
	[yes], [PST_PYTHON_PROBE([python3])],
	[PST_PYTHON_PROBE([$with_python])])
AS_IF([test "$with_python" != no], [
	AS_IF([test -n "$pst_python_problem"], [PST_MISSING([$pst_python_problem])],
		[PST_PYTHON_USE])
])
AM_CONDITIONAL([PYTHON_PLUGIN], [test "$pst_python" != none])
AC_SUBST([PYTHON])
AC_SUBST([PYTHON_CPPFLAGS])
AC_SUBST([PYTHON_LIBS])
AC_SUBST([PYTHON_PLUGIN_NAME])
])

AC_DEFUN([PST_PYTHON_DEFAULT], [
PST_PYTHON_PROBE([python3])
AS_IF([test -n "$pst_python_problem" && test -x /usr/bin/python3 &&
	test "$pst_py_executable" != /usr/bin/python3], [
	pst_python_first=$pst_python_problem
	PST_PYTHON_PROBE([/usr/bin/python3])
	AS_IF([test -z "$pst_python_problem"],
		[AC_MSG_NOTICE([using /usr/bin/python3, not python3 of PATH. $pst_python_first])],
		[pst_python_problem="$pst_python_first
  $pst_python_problem"])
])
])

# PST_PYTHON_PROBE(NAME): fills pst_py_*; pst_python_problem is empty when it can be embedded.
AC_DEFUN([PST_PYTHON_PROBE], [
pst_python_problem= pst_py_executable= pst_py_shared= pst_py_version=
AC_MSG_CHECKING([for Python as $1])
pst_py_command=`command -v "$1" 2>/dev/null`
AS_IF([test -z "$pst_py_command"],
	[pst_python_problem="Python: there is no $1: apt install python3-dev, or name one with --with-python=PATH"],
	[PST_PYTHON_ASK([$1])])
AS_IF([test -n "$pst_python_problem"], [AC_MSG_RESULT([no])], [
	AC_MSG_RESULT([$pst_py_executable ($pst_py_version)])
	PST_PYTHON_LINK
])
])

# The script prints shell assignments, quoted by Python. A shim (pyenv) is seen through by
# sys.executable, and a virtualenv by sys.base_prefix.
AC_DEFUN([PST_PYTHON_ASK], [
pst_py_answer=`"$pst_py_command" -I -c '
import os, platform, shlex, sys, sysconfig
var = sysconfig.get_config_var
includes = dict.fromkeys(sysconfig.get_path(name) for name in ("include", "platinclude"))
libdir = var("LIBDIR") or ""
library = var("LDLIBRARY") or ""
free_threaded = "t" if var("Py_GIL_DISABLED") else ""
shared = var("Py_ENABLE_SHARED") and ".so" in library
answer = {
    "executable": sys.executable,
    "version": platform.python_version() + free_threaded,
    "short": "%d.%d" % sys.version_info[[:2]] + free_threaded,
    "usable": int(sys.version_info >= (3, 10)),
    "implementation": platform.python_implementation(),
    "base_prefix": sys.base_prefix,
    "shared": int(bool(shared)),
    "libdir": libdir,
    "library": library,
    "name": library[[3:]].split(".so")[[0]],
    "includes": " ".join("-I" + path for path in includes),
    "header": os.path.join(next(iter(includes)), "Python.h"),
}
for key, value in answer.items():
    print("pst_py_%s=%s" % (key, shlex.quote(str(value))))
' 2>&AS_MESSAGE_LOG_FD`
AS_IF([test $? -eq 0 && test -n "$pst_py_answer"], [eval "$pst_py_answer"],
	[pst_python_problem="Python: $1 does not run as a Python 3 (config.log has what it said)"])
AS_IF([test -n "$pst_python_problem"], [],
	[test "$pst_py_implementation" != CPython],
	[pst_python_problem="Python: $pst_py_executable is $pst_py_implementation; only CPython can be embedded"],
	[test "$pst_py_usable" != 1],
	[pst_python_problem="Python: $pst_py_executable is version $pst_py_version; 3.10 or later is needed"],
	[test "$pst_py_shared" != 1],
	[pst_python_problem="Python: $pst_py_executable has a static libpython only: use Debian's (apt install python3-dev, --with-python=/usr/bin/python3), or build it with --enable-shared (pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared)"],
	[test ! -f "$pst_py_header"],
	[pst_python_problem="Python: $pst_py_executable has no header $pst_py_header: apt install python3-dev"],
	[test ! -e "$pst_py_libdir/$pst_py_library"],
	[pst_python_problem="Python: $pst_py_executable has no $pst_py_libdir/$pst_py_library: apt install python3-dev"])
])

AC_DEFUN([PST_PYTHON_LINK], [
PYTHON_CPPFLAGS=`echo "$pst_py_includes" | sed 's/-I/-isystem /g'`
AS_CASE([$pst_py_libdir],
	[/usr/lib|/usr/lib/*|/lib|/lib/*], [PYTHON_LIBS="-L$pst_py_libdir -l$pst_py_name"],
	[PYTHON_LIBS="-L$pst_py_libdir -Wl,-rpath,$pst_py_libdir -l$pst_py_name"])
pst_saved_CPPFLAGS=$CPPFLAGS
pst_saved_LIBS=$LIBS
CPPFLAGS="$CPPFLAGS $PYTHON_CPPFLAGS"
LIBS="$PYTHON_LIBS $LIBS"
AC_MSG_CHECKING([whether $pst_py_library links])
AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <Python.h>]], [[Py_Initialize();]])],
	[AC_MSG_RESULT([yes])],
	[AC_MSG_RESULT([no])
	pst_python_problem="Python: a program with $pst_py_libdir/$pst_py_library does not link (config.log has the reason)"])
CPPFLAGS=$pst_saved_CPPFLAGS
LIBS=$pst_saved_LIBS
])

AC_DEFUN([PST_PYTHON_USE], [
PYTHON=$pst_py_executable
PYTHON_PLUGIN_NAME=python$pst_py_short
pst_python="$pst_py_version, $pst_py_executable, $pst_py_libdir/$pst_py_library"
AC_DEFINE_UNQUOTED([PST_PYTHON_PLUGIN], ["$PYTHON_PLUGIN_NAME.so"],
	[The file name of the Python plugin in plugindir.])
AC_DEFINE_UNQUOTED([PST_PYTHON_VERSION], ["$pst_py_version"],
	[The full version of the Python that the plugin embeds.])
AC_DEFINE_UNQUOTED([PST_PYTHON_BASE_PREFIX], ["$pst_py_base_prefix"],
	[Its sys.base_prefix: where its standard library is.])
AC_DEFINE_UNQUOTED([PST_PYTHON_EXECUTABLE], ["$pst_py_executable"],
	[Its sys.executable.])
])
