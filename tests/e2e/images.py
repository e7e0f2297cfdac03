"""Images for tests, assembled from Debian packages' files: `docker save` archives."""

import hashlib
import io
import json
import platform
import re
import subprocess
import tarfile
from pathlib import Path

DIRECTORIES = ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/sbin", "var/cache", "var/log", "var/run"]
PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/tmp:/bin/sh\n"
GROUP = "root:x:0:\nweb:x:1000:\n"


class Layer:
    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w")
        self.seen = set()
        for directory in DIRECTORIES:
            self.directory(directory, 0o1777 if directory == "tmp" else 0o755)
        self.text("etc/passwd", PASSWD)
        self.text("etc/group", GROUP)

    def directory(self, path, mode=0o755):
        for parent in [*reversed(Path(path).parents), Path(path)]:
            if str(parent) == "." or str(parent) in self.seen:
                continue
            self.seen.add(str(parent))
            info = tarfile.TarInfo(str(parent))
            info.type, info.mode = tarfile.DIRTYPE, mode
            self.tar.addfile(info)

    def data(self, path, data, mode=0o644):
        self.directory(Path(path).parent)
        info = tarfile.TarInfo(path)
        info.size, info.mode = len(data), mode
        self.tar.addfile(info, io.BytesIO(data))

    def text(self, path, text):
        self.data(path, text.encode())

    def program(self, path, source=None):
        """A program with the shared libraries that it loads."""
        source = source or f"/{path}"
        self.data(path, Path(source).read_bytes(), 0o755)
        listed = subprocess.run(["ldd", source], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+\.so\S*)", listed):
            if library not in self.seen:
                self.seen.add(library)
                self.data(library.lstrip("/"), Path(library).resolve().read_bytes(), 0o755)

    def link(self, path, target):
        info = tarfile.TarInfo(path)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self.tar.addfile(info)

    def busybox(self):
        self.data("bin/busybox", Path("/bin/busybox").read_bytes(), 0o755)
        applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
        for applet in applets:
            if applet != "busybox":
                self.link(f"bin/{applet}", "/bin/busybox")

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def save(path, reference, layer, **config):
    """Writes a `docker save` archive with one layer."""
    digest = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": "amd64" if platform.machine() == "x86_64" else "arm64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin:/usr/sbin"], **config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        for name, data in [
            ("manifest.json", json.dumps(manifest).encode()),
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", layer),
        ]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def busybox(path):
    layer = Layer()
    layer.busybox()
    return save(path, "busybox:latest", layer.bytes(), Cmd=["/bin/sh"])


NGINX_CONF = """\
daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
  access_log /dev/stdout;
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  server { listen 80; root /usr/share/nginx; location / { index index.html; } }
}
"""


def nginx(path, text="nginx in a task\n"):
    layer = Layer()
    layer.busybox()
    layer.program("usr/sbin/nginx")
    layer.text("etc/nginx/nginx.conf", NGINX_CONF)
    layer.text("usr/share/nginx/index.html", text)
    layer.directory("var/log/nginx")
    layer.directory("var/lib/nginx")
    return save(
        path,
        "nginx:latest",
        layer.bytes(),
        Entrypoint=["/usr/sbin/nginx"],
        Cmd=["-c", "/etc/nginx/nginx.conf", "-g", "user root;"],
        StopSignal="SIGQUIT",
        ExposedPorts={"80/tcp": {}},
    )
