/**
 * The library of certificates, as far as it is used. It is large, and only `lottery keys` needs
 * it: build.ts puts what this file exports into the command as text, which nobody else has to
 * parse.
 */
// The library asks for it when it is imported.
import "reflect-metadata"

export {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator
} from "@peculiar/x509"
