-- AlterTable
ALTER TABLE "account" ADD COLUMN "external_account_binding" TEXT;
ALTER TABLE "account" ADD COLUMN "external_account_key_id" TEXT;
ALTER TABLE "account" ADD COLUMN "paused_at" BIGINT;
ALTER TABLE "account" ADD COLUMN "paused_reason" TEXT;

-- AlterTable
ALTER TABLE "order" ADD COLUMN "replaces" TEXT;

-- CreateTable
CREATE TABLE "external_account_key" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "sealed_key" BLOB NOT NULL,
    "note" TEXT NOT NULL,
    "uses_left" INTEGER NOT NULL,
    "created_at" BIGINT NOT NULL,
    "expires_at" BIGINT,
    "revoked_at" BIGINT
);

-- CreateTable
CREATE TABLE "rate_limit" (
    "key" TEXT NOT NULL PRIMARY KEY,
    "level" REAL NOT NULL,
    "at" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "limit_override" (
    "limit_name" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "window_ms" BIGINT NOT NULL,

    PRIMARY KEY ("limit_name", "subject")
);

-- CreateTable
CREATE TABLE "name_rule" (
    "list" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "created_at" BIGINT NOT NULL,

    PRIMARY KEY ("list", "name")
);

-- CreateTable
CREATE TABLE "renewal_mark" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "selector" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "explanation_url" TEXT,
    "spread_ms" BIGINT NOT NULL,
    "marked_at" BIGINT NOT NULL
);

-- CreateIndex
CREATE INDEX "account_external_account_key_id_idx" ON "account"("external_account_key_id");

-- What the Prisma schema cannot say: few orders replace a certificate.
CREATE INDEX "order_replaces" ON "order"("replaces") WHERE "replaces" IS NOT NULL;
