-- AlterTable
ALTER TABLE "crl" ADD COLUMN "revocation_seq" BIGINT NOT NULL DEFAULT 0;

-- CreateTable
CREATE TABLE "lease" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "holder" TEXT NOT NULL,
    "expires_at" BIGINT NOT NULL
);
