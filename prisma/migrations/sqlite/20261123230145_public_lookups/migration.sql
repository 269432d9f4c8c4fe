-- CreateTable. Without a rowid, because the key is nearly all of it.
CREATE TABLE "certificate_domain" (
    "domain" TEXT NOT NULL,
    "created_at" BIGINT NOT NULL,
    "serial" TEXT NOT NULL,
    "named" BOOLEAN NOT NULL,

    PRIMARY KEY ("domain", "created_at", "serial"),
    CONSTRAINT "certificate_domain_serial_fkey" FOREIGN KEY ("serial") REFERENCES "certificate" ("serial") ON DELETE RESTRICT ON UPDATE RESTRICT
) WITHOUT ROWID;

-- CreateIndex
CREATE INDEX "certificate_created_at_not_after_idx" ON "certificate"("created_at", "not_after");

-- What the Prisma schema cannot say. Totals are of subscribers' certificates: what is not one, or not signed yet, is little and taken off.
CREATE INDEX "certificate_uncounted" ON "certificate"("created_at", "not_after") WHERE "fingerprint" IS NULL OR "kind" <> 'leaf';
CREATE INDEX "certificate_own" ON "certificate"("serial") WHERE "kind" <> 'leaf';

-- The domains of the certificates that are there: names without wildcard and service, then upwards to two labels. XmppAddr has the form with U-labels, and
-- stands beside a dNSName of the same domain.
INSERT INTO "certificate_domain" ("domain", "created_at", "serial", "named")
WITH RECURSIVE "up"("serial", "domain", "named") AS (
  SELECT "serial",
    CASE WHEN "value" LIKE '*.%' OR "form" = 'SRVName' THEN substr("value", instr("value", '.') + 1) ELSE "value" END,
    1
  FROM "certificate_name" WHERE "form" <> 'XmppAddr'
  UNION
  SELECT "serial", substr("domain", instr("domain", '.') + 1), 0 FROM "up" WHERE instr("domain", '.') > 0
)
SELECT u."domain", c."created_at", u."serial", MAX(u."named") FROM "up" u JOIN "certificate" c ON c."serial" = u."serial"
WHERE u."domain" LIKE '%.%' GROUP BY u."domain", c."created_at", u."serial";
