-- DropIndex
DROP INDEX "revocation_issuer_id_serial_idx";

-- DropIndex
DROP INDEX "revocation_issuer_id_crl_shard_serial_idx";

-- CreateIndex
CREATE INDEX "revocation_crl" ON "revocation"("issuer_id", "serial", "not_after", "revoked_at", "reason");

-- CreateIndex
CREATE INDEX "revocation_crl_shard" ON "revocation"("issuer_id", "crl_shard", "serial", "not_after", "revoked_at", "reason");
