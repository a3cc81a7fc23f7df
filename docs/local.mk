EXTRA_DIST += %D%/architecture.md %D%/http.md %D%/plugin.md
dist_man_MANS += %D%/penstock.8
