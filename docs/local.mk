EXTRA_DIST += %D%/architecture.md
dist_man_MANS += %D%/penstock.8
