//go:build integration

package s3

import (
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/internal/s3suite"
)

func TestEncryption(t *testing.T) {
	s3suite.Encrypts(t, func(t *testing.T, s *miniotest.Server, e s3suite.Encryption) drivers.Driver {
		c := at(s.URL, s.User, s.Password)
		c.InsecureVerify, c.PartSize, c.Transport = true, parts.MinPart, e.Transport
		c.Encryption, c.KMSKey, c.CustomerKey = e.Kind, e.KMSKey, drivers.Secret(e.CustomerKey)
		return open(t, c)
	})
}
