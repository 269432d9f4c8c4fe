import type { Ica } from '../issuance/ica.js'
import type { Urls } from './urls.js'

/** The directory (RFC 8555 §7.1.1), with the profiles of draft-ietf-acme-profiles §3. */
export const renderDirectory = (ica: Pick<Ica, 'settings' | 'profiles' | 'validators'>, urls: Urls) => ({
  newNonce: urls.newNonce,
  newAccount: urls.newAccount,
  newOrder: urls.newOrder,
  newAuthz: urls.newAuthz,
  revokeCert: urls.revokeCert,
  keyChange: urls.keyChange,
  renewalInfo: urls.renewalInfo,
  meta: {
    termsOfService: ica.settings.termsOfService,
    website: ica.settings.website,
    caaIdentities: ica.settings.caaIdentities,
    // Words for people, with the page that judges what each works with.
    profiles: Object.fromEntries(
      [...ica.profiles.values()].map(({ name, description }) => [name, `${description} ${ica.settings.website}/profiles/${name}`]),
    ),
    ...(ica.settings.externalAccounts === 'required' && { externalAccountRequired: true }),
    ...Object.assign({}, ...ica.validators.map((validator) => validator.directoryMeta)),
  },
})
