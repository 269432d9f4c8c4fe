/**
 * The configuration of Prosody, ejabberd and the web server of the check's test.
 *
 *   node --import tsx test/e2e/check-configuration.ts FOLDER ROOT
 *
 * Writes prosody.cfg.lua, ejabberd.yml and nginx.conf; certificates are in FOLDER/certs.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { domainToUnicode } from 'node:url'
import { domainOf, fileOf, hosts, places, type Setup, zone } from './check-setups.js'

const [folder = '', root = ''] = process.argv.slice(2)
const certificate = (name: string | null, end: string): string => path.join(folder, 'certs', `${name}.${end}`)

// For direct TLS Prosody looks for certificates by itself, in a folder that has none here, or takes what is set for each of these services.
const directServices = { c2s_direct_tls: '', s2s_direct_tls: '', legacy_ssl: ', alpn = { "xmpp-client" }' }

const prosodyHost = (setup: Setup): string => {
  const [tls, more = ''] = /^ssl = \{ (.*) \}$/.exec(setup.host ?? '') ?? []
  const files = `certificate = "${certificate(fileOf(setup), 'pem')}", key = "${certificate(fileOf(setup), 'key')}"`
  const direct = Object.entries(directServices).map(([service, alpn]) => `${service}_ssl = { ${files}${alpn} }`)
  const lines = [
    `ssl = { ${files}${more && `, ${more}`} }`,
    ...(/^(direct|mixed-up)/.test(setup.name) ? direct : []),
    ...(tls ? [] : [setup.host ?? '']),
  ]
  return `VirtualHost "${domainToUnicode(domainOf(setup))}"\n  ${lines.join('\n  ')}`
}

const prosody = `run_as_root = true
pidfile = "${folder}/prosody.pid"
data_path = "${folder}/prosody-data"
certificates = "${folder}/none"
modules_enabled = { "tls", "saslauth", "disco", "posix" }
modules_disabled = { "dialback", "s2s_bidi" }
s2s_secure_auth = true
c2s_interfaces = { "${places.prosody}", "::1" }
c2s_ports = { 5222 }
c2s_direct_tls_ports = { 5223 }
legacy_ssl_ports = { 5243 }
legacy_ssl_interfaces = { "${places.prosody}" }
c2s_direct_tls_interfaces = { "${places.prosody}" }
s2s_direct_tls_interfaces = { "${places.prosody}" }
s2s_interfaces = { "${places.prosody}", "::1" }
s2s_ports = { 5269 }
s2s_direct_tls_ports = { 5270 }
http_ports = {}
https_ports = {}
ssl = { cafile = "${root}", capath = false }
log = { debug = "${folder}/prosody.log" }
${[...hosts('prosody'), ...hosts('front')].map(prosodyHost).join('\n')}
`

// ejabberd takes key and chain from one file.
const served = hosts('ejabberd').map((setup) => {
  const file = path.join(folder, 'certs', `${fileOf(setup)}.both`)
  writeFileSync(file, readFileSync(certificate(fileOf(setup), 'pem'), 'utf8') + readFileSync(certificate(fileOf(setup), 'key'), 'utf8'))
  return { domain: domainToUnicode(domainOf(setup)), file }
})

const ejabberd = `loglevel: info
s2s_cafile: ${root}
ca_file: ${root}
s2s_use_starttls: required
outgoing_s2s_families: [ipv4]
acme: { auto: false }
auth_method: internal
listen:
  - { port: 5222, ip: ${places.ejabberd}, module: ejabberd_c2s, starttls_required: true }
  - { port: 5221, ip: ${places.ejabberd}, module: ejabberd_c2s, starttls_required: true }
  - { port: 5223, ip: ${places.ejabberd}, module: ejabberd_c2s, tls: true }
  - { port: 5232, ip: ${places.ejabberd}, module: ejabberd_c2s, starttls: true }
  - { port: 5242, ip: ${places.ejabberd}, module: ejabberd_c2s }
  - { port: 5269, ip: ${places.ejabberd}, module: ejabberd_s2s_in }
  - { port: 5270, ip: ${places.ejabberd}, module: ejabberd_s2s_in, tls: true }
modules: { mod_disco: {} }
hosts: [${served.map(({ domain }) => `"${domain}"`).join(', ')}]
certfiles: [${served.map(({ file }) => file).join(', ')}]
`

const posh = hosts('prosody').filter(({ publish }) => publish?.posh)
for (const setup of posh) mkdirSync(path.join(folder, 'web', domainOf(setup), '.well-known/posh'), { recursive: true })
const nginx = `daemon off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.log; worker_processes 1;
${existsSync('/etc/passwd') ? 'user root;' : ''}
events {}
http {
  access_log off; default_type application/json;
  client_body_temp_path ${folder}/nginx; proxy_temp_path ${folder}/nginx; fastcgi_temp_path ${folder}/nginx; uwsgi_temp_path ${folder}/nginx; scgi_temp_path ${folder}/nginx;
  server {
    listen ${places.web}:80;
    listen ${places.web}:443 ssl;
    ssl_certificate ${certificate('good', 'pem')}; ssl_certificate_key ${certificate('good', 'key')};
    root ${folder}/web/$host;
  }
}
`

for (const sub of ['none', 'prosody-data', 'nginx', 'spool', `web/${zone}`]) mkdirSync(path.join(folder, sub), { recursive: true })
writeFileSync(path.join(folder, 'prosody.cfg.lua'), prosody)
writeFileSync(path.join(folder, 'ejabberd.yml'), ejabberd)
writeFileSync(path.join(folder, 'nginx.conf'), nginx)
