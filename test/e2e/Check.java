/**
 * What Java's own PKIX validation (CertPathValidator with PKIXRevocationChecker) thinks of chains; everything is fetched from where the certificates point to.
 *
 *   java [-Dlists=CRLS.pem] Check.java ROOT.pem ocsp|crl|lists CHAIN.pem...    one line for each chain: VALID, or the reason and what it says
 *
 * lists: by the CRLs in that file alone, without a look at where the certificates point to.
 */
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.PKIXRevocationChecker.Option;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

public class Check {
  public static void main(String[] arguments) throws Exception {
    // Before the classes that read them are loaded.
    boolean byLists = arguments[1].equals("lists");
    System.setProperty("com.sun.security.enableCRLDP", byLists ? "false" : "true");
    System.setProperty("com.sun.security.ocsp.timeout", "10");
    X509Certificate root = read(arguments[0]).get(0);
    boolean byCrl = !arguments[1].equals("ocsp");
    CertStore lists = byLists ? readLists(System.getProperty("lists")) : null;
    for (int i = 2; i < arguments.length; i++) System.out.println(Path.of(arguments[i]).getFileName() + " " + arguments[1] + " " + judge(root, byCrl, lists, read(arguments[i])));
  }

  private static List<X509Certificate> read(String file) throws Exception {
    List<X509Certificate> certificates = new ArrayList<>();
    try (InputStream in = new ByteArrayInputStream(Files.readAllBytes(Path.of(file)))) {
      for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(in)) certificates.add((X509Certificate) certificate);
    }
    return certificates;
  }

  private static CertStore readLists(String file) throws Exception {
    try (InputStream in = new ByteArrayInputStream(Files.readAllBytes(Path.of(file)))) {
      return CertStore.getInstance("Collection", new CollectionCertStoreParameters(CertificateFactory.getInstance("X.509").generateCRLs(in)));
    }
  }

  private static String judge(X509Certificate root, boolean byCrl, CertStore lists, List<X509Certificate> chain) throws Exception {
    CertPathValidator validator = CertPathValidator.getInstance("PKIX");
    PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
    // The root answers no OCSP, so that way is for the leaf alone; by CRL the whole chain is checked.
    checker.setOptions(byCrl ? EnumSet.of(Option.NO_FALLBACK, Option.PREFER_CRLS) : EnumSet.of(Option.NO_FALLBACK, Option.ONLY_END_ENTITY));
    PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
    if (lists != null) parameters.addCertStore(lists);
    parameters.addCertPathChecker(checker);
    try {
      validator.validate(CertificateFactory.getInstance("X.509").generateCertPath(chain), parameters);
      return "VALID";
    } catch (CertPathValidatorException refused) {
      return refused.getReason() + ": " + refused.getMessage();
    }
  }
}
