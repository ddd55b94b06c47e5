// Writes the container images of a kubeadm node into one archive, which `ctr images import`
// reads: no registry, no Dockerfile, each image a few files on an empty root.
//
//	images BIN ARCHIVE NAME…
//
// BIN holds our static programs kubernetes, etcd and coredns; busybox, nft and conntrack are this
// machine's. The NAMEs are those that kubeadm and the demos ask for.
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	if len(os.Args) < 4 {
		log.Fatal("usage: images BIN ARCHIVE NAME…")
	}
	archive := os.Args[2]
	images := map[name.Tag]v1.Image{}
	for _, full := range os.Args[3:] {
		tag, err := name.NewTag(full)
		if err == nil {
			images[tag], err = image(os.Args[1], path.Base(tag.RepositoryStr()))
		}
		if err != nil {
			log.Fatalf("%s: %v", full, err)
		}
	}
	// By rename: who finds the archive finds all of it.
	if err := tarball.MultiWriteToFile(archive+".new", images); err != nil {
		log.Fatal(err)
	}
	if err := os.Rename(archive+".new", archive); err != nil {
		log.Fatal(err)
	}
}

// image makes the image with this name's files and entrypoint.
func image(bin, name string) (v1.Image, error) {
	config := v1.Config{Env: []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin"}}
	var root []files // from below to above
	var err error
	switch name {
	case "kube-apiserver", "kube-controller-manager", "kube-scheduler":
		root = []files{kubernetes(bin)}
	case "kube-proxy":
		var tools files
		tools, err = withLibraries("nft", "conntrack")
		root = []files{kubernetes(bin), tools}
	case "etcd":
		root = []files{{"/usr/local/bin/etcd": from(filepath.Join(bin, "etcd"))}}
	case "coredns":
		root = []files{{"/coredns": from(filepath.Join(bin, "coredns"))}}
		config.Entrypoint = []string{"/coredns"}
	case "busybox":
		root, err = busybox()
		config.Cmd = []string{"sh"}
	case "pause":
		// Holds a pod's namespaces. That it reaps no children shows only in pods that share
		// their process namespace; upstream's does.
		root, err = busybox()
		config.Entrypoint = []string{"sleep", "infinity"}
	default:
		err = fmt.Errorf("no image of this name is known here")
	}
	if err != nil {
		return nil, err
	}
	image := mutate.MediaType(empty.Image, types.DockerManifestSchema2)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, Config: config})
	for _, files := range root {
		if err == nil {
			var layer v1.Layer
			if layer, err = files.layer(); err == nil {
				image, err = mutate.AppendLayers(image, layer)
			}
		}
	}
	return image, err
}

// kubernetes is the one program and its names; the same for all its images, so it is stored once.
func kubernetes(bin string) files {
	root := files{"/usr/local/bin/kubernetes": from(filepath.Join(bin, "kubernetes"))}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		root["/usr/local/bin/"+name] = link("kubernetes")
	}
	return root
}

// busybox is Debian's static one, with a link for each of its commands.
func busybox() ([]files, error) {
	program, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	commands, err := exec.Command(program, "--list").Output()
	if err != nil {
		return nil, err
	}
	root := files{"/bin/busybox": from(program), "/tmp": directory()}
	for _, command := range strings.Fields(string(commands)) {
		if command != "busybox" {
			root["/bin/"+command] = link("busybox")
		}
	}
	return []files{root}, nil
}

// withLibraries holds programs of this machine and the shared libraries that ldd names for them.
func withLibraries(programs ...string) (files, error) {
	root := files{}
	for _, program := range programs {
		found, err := exec.LookPath(program)
		if err != nil {
			return nil, err
		}
		root["/usr/sbin/"+program] = from(found)
		libraries, err := exec.Command("ldd", found).Output()
		if err != nil {
			return nil, fmt.Errorf("ldd %s: %w", found, err)
		}
		for _, word := range strings.Fields(string(libraries)) {
			if strings.HasPrefix(word, "/") {
				root[word] = from(word)
			}
		}
	}
	return root, nil
}
