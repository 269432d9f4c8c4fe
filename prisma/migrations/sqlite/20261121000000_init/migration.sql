-- CreateTable
CREATE TABLE "setting" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "value" TEXT NOT NULL
);

-- CreateTable
CREATE TABLE "used_nonce" (
    "id" BLOB NOT NULL PRIMARY KEY,
    "expires_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "account" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "jwk" TEXT NOT NULL,
    "thumbprint" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "contact" TEXT NOT NULL,
    "terms_agreed_at" BIGINT,
    "created_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "order" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "account_id" TEXT NOT NULL,
    "profile" TEXT NOT NULL,
    "identifiers" TEXT NOT NULL,
    "not_before" BIGINT,
    "not_after" BIGINT,
    "created_at" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL,
    "claimed_at" BIGINT,
    "csr" BLOB,
    "certificate_serial" TEXT,
    "error" TEXT,
    CONSTRAINT "order_account_id_fkey" FOREIGN KEY ("account_id") REFERENCES "account" ("id") ON DELETE RESTRICT ON UPDATE RESTRICT,
    CONSTRAINT "order_certificate_serial_fkey" FOREIGN KEY ("certificate_serial") REFERENCES "certificate" ("serial") ON DELETE RESTRICT ON UPDATE RESTRICT
);

-- CreateTable
CREATE TABLE "order_authorization" (
    "order_id" TEXT NOT NULL,
    "authorization_id" TEXT NOT NULL,
    "position" INTEGER NOT NULL,

    PRIMARY KEY ("order_id", "authorization_id"),
    CONSTRAINT "order_authorization_order_id_fkey" FOREIGN KEY ("order_id") REFERENCES "order" ("id") ON DELETE CASCADE ON UPDATE RESTRICT,
    CONSTRAINT "order_authorization_authorization_id_fkey" FOREIGN KEY ("authorization_id") REFERENCES "authorization" ("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);

-- CreateTable
CREATE TABLE "authorization" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "account_id" TEXT NOT NULL,
    "identifier_type" TEXT NOT NULL,
    "identifier_value" TEXT NOT NULL,
    "wildcard" BOOLEAN NOT NULL,
    "created_at" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL,
    "deactivated_at" BIGINT,
    CONSTRAINT "authorization_account_id_fkey" FOREIGN KEY ("account_id") REFERENCES "account" ("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);

-- CreateTable
CREATE TABLE "challenge" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "authorization_id" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "token" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "validated_at" BIGINT,
    "error" TEXT,
    "attempts" INTEGER NOT NULL,
    "next_attempt_at" BIGINT,
    CONSTRAINT "challenge_authorization_id_fkey" FOREIGN KEY ("authorization_id") REFERENCES "authorization" ("id") ON DELETE CASCADE ON UPDATE RESTRICT
);

-- CreateTable
CREATE TABLE "certificate" (
    "serial" TEXT NOT NULL PRIMARY KEY,
    "issuer_id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "profile" TEXT NOT NULL,
    "account_id" TEXT,
    "order_id" TEXT,
    "key_id" TEXT NOT NULL,
    "crl_shard" INTEGER NOT NULL,
    "not_before" BIGINT NOT NULL,
    "not_after" BIGINT NOT NULL,
    "created_at" BIGINT NOT NULL,
    "der" BLOB,
    "fingerprint" TEXT,
    CONSTRAINT "certificate_issuer_id_fkey" FOREIGN KEY ("issuer_id") REFERENCES "issuer" ("id") ON DELETE RESTRICT ON UPDATE RESTRICT,
    CONSTRAINT "certificate_account_id_fkey" FOREIGN KEY ("account_id") REFERENCES "account" ("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);

-- CreateTable
CREATE TABLE "certificate_name" (
    "serial" TEXT NOT NULL,
    "form" TEXT NOT NULL,
    "value" TEXT NOT NULL,

    PRIMARY KEY ("serial", "form", "value"),
    CONSTRAINT "certificate_name_serial_fkey" FOREIGN KEY ("serial") REFERENCES "certificate" ("serial") ON DELETE RESTRICT ON UPDATE RESTRICT
);

-- CreateTable
CREATE TABLE "revocation" (
    "seq" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "serial" TEXT NOT NULL,
    "issuer_id" TEXT NOT NULL,
    "crl_shard" INTEGER NOT NULL,
    "not_after" BIGINT NOT NULL,
    "revoked_at" BIGINT NOT NULL,
    "reason" INTEGER NOT NULL,
    CONSTRAINT "revocation_serial_fkey" FOREIGN KEY ("serial") REFERENCES "certificate" ("serial") ON DELETE RESTRICT ON UPDATE RESTRICT
);

-- CreateTable
CREATE TABLE "blocked_key" (
    "key_id" TEXT NOT NULL PRIMARY KEY,
    "reason" TEXT NOT NULL,
    "blocked_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "issuer" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "kind" TEXT NOT NULL,
    "der" BLOB NOT NULL
);

-- CreateTable
CREATE TABLE "crl_number" (
    "issuer_id" TEXT NOT NULL,
    "shard" INTEGER NOT NULL,
    "number" BIGINT NOT NULL,

    PRIMARY KEY ("issuer_id", "shard"),
    CONSTRAINT "crl_number_issuer_id_fkey" FOREIGN KEY ("issuer_id") REFERENCES "issuer" ("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);

-- CreateTable
CREATE TABLE "crl" (
    "issuer_id" TEXT NOT NULL,
    "shard" INTEGER NOT NULL,
    "number" BIGINT NOT NULL,
    "this_update" BIGINT NOT NULL,
    "next_update" BIGINT NOT NULL,
    "der" BLOB NOT NULL,

    PRIMARY KEY ("issuer_id", "shard"),
    CONSTRAINT "crl_issuer_id_fkey" FOREIGN KEY ("issuer_id") REFERENCES "issuer" ("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);

-- CreateTable
CREATE TABLE "audit" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "at" BIGINT NOT NULL,
    "actor" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "detail" TEXT NOT NULL,
    "address" TEXT,
    "request_id" TEXT
);

-- CreateIndex
CREATE INDEX "used_nonce_expires_at_idx" ON "used_nonce"("expires_at");

-- CreateIndex
CREATE UNIQUE INDEX "account_thumbprint_key" ON "account"("thumbprint");

-- CreateIndex
CREATE UNIQUE INDEX "order_certificate_serial_key" ON "order"("certificate_serial");

-- CreateIndex
CREATE INDEX "order_account_id_created_at_id_idx" ON "order"("account_id", "created_at", "id");

-- CreateIndex
CREATE INDEX "order_authorization_authorization_id_idx" ON "order_authorization"("authorization_id");

-- CreateIndex
CREATE INDEX "authorization_account_id_identifier_value_expires_at_idx" ON "authorization"("account_id", "identifier_value", "expires_at");

-- CreateIndex
CREATE UNIQUE INDEX "challenge_authorization_id_type_key" ON "challenge"("authorization_id", "type");

-- CreateIndex
CREATE UNIQUE INDEX "certificate_fingerprint_key" ON "certificate"("fingerprint");

-- CreateIndex
CREATE INDEX "certificate_key_id_idx" ON "certificate"("key_id");

-- CreateIndex
CREATE INDEX "certificate_account_id_idx" ON "certificate"("account_id");

-- CreateIndex
CREATE INDEX "certificate_created_at_serial_idx" ON "certificate"("created_at", "serial");

-- CreateIndex
CREATE INDEX "certificate_name_value_idx" ON "certificate_name"("value");

-- CreateIndex
CREATE UNIQUE INDEX "revocation_serial_key" ON "revocation"("serial");

-- CreateIndex
CREATE INDEX "revocation_issuer_id_serial_idx" ON "revocation"("issuer_id", "serial");

-- CreateIndex
CREATE INDEX "revocation_issuer_id_crl_shard_serial_idx" ON "revocation"("issuer_id", "crl_shard", "serial");

-- CreateIndex
CREATE INDEX "audit_subject_id_idx" ON "audit"("subject", "id");

-- What the Prisma schema cannot say:

-- The work lists: small, however many rows the tables have.
CREATE INDEX "challenge_due" ON "challenge"("next_attempt_at") WHERE "status" = 'processing';
CREATE INDEX "order_stalled" ON "order"("claimed_at") WHERE "claimed_at" IS NOT NULL AND "certificate_serial" IS NULL AND "error" IS NULL;

-- The audit log is append-only.
CREATE TRIGGER "audit_no_update" BEFORE UPDATE ON "audit" BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER "audit_no_delete" BEFORE DELETE ON "audit" BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
