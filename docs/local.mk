EXTRA_DIST += %D%/architecture.md %D%/choosing-a-worker.md %D%/migrating-from-gunicorn.md %D%/http.md %D%/performance.md %D%/performance %D%/plugin.md %D%/reliability.md
dist_man_MANS += %D%/penstock.8 %D%/penstock.yaml.5
