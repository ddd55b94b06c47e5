package main

import (
	"archive/tar"
	"bytes"
	"maps"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// files is a small file system: absolute path to what is there.
type files map[string]entry

type entry struct {
	header tar.Header
	source string
}

func from(source string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Mode: 0o755}, source}
}

func link(target string) entry {
	return entry{header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}}
}

func directory() entry {
	return entry{header: tar.Header{Typeflag: tar.TypeDir, Mode: 0o1777}}
}

// layer is the file system as an image layer. Uncompressed: it goes no further than to the
// containerd next door. Sorted and without times: the same files give the same image.
func (root files) layer() (v1.Layer, error) {
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, path := range slices.Sorted(maps.Keys(root)) {
		entry := root[path]
		var content []byte
		if entry.source != "" {
			var err error
			if content, err = os.ReadFile(entry.source); err != nil {
				return nil, err
			}
		}
		entry.header.Name = path[1:]
		entry.header.Size = int64(len(content))
		if err := archive.WriteHeader(&entry.header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return static.NewLayer(buffer.Bytes(), types.DockerUncompressedLayer), nil
}
