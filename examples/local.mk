EXTRA_DIST += %D%/chat %D%/fastapi %D%/flask %D%/nginx %D%/plugin %D%/pools %D%/systemd
