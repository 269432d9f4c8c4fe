-- AlterTable
ALTER TABLE "crl" ADD COLUMN     "revocation_seq" BIGINT NOT NULL DEFAULT 0;

-- CreateTable
CREATE TABLE "lease" (
    "name" TEXT NOT NULL,
    "holder" TEXT NOT NULL,
    "expires_at" BIGINT NOT NULL,

    CONSTRAINT "lease_pkey" PRIMARY KEY ("name")
);
